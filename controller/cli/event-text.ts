import { EVENT_KINDS } from '../../shared/protocol/event.ts';
import type { EventRow } from '../api/schemas.ts';

/** Kinds of events: those of devices, and what the controller itself finds. */
export const EVENT_KIND_NAMES = [...EVENT_KINDS, 'alarm'] as const;

/** An event in a line. */
export function describeEvent(body: EventRow['body']): string {
  switch (body.kind) {
    case 'boot':
      return `agent ${body.version} started`;
    case 'switch': {
      const { from, to, reason, unreported } = body;
      const more = unreported > 0 ? ` (and ${unreported} switches before it)` : '';
      return `${pointOf(from)} -> ${pointOf(to)}: ${reason}${more}`;
    }
    case 'violation':
      return `${body.limit} ${body.state === 'begins' ? 'cannot be met' : 'can be met again'}: ${body.reason}`;
    case 'shed':
      return `${body.frames === 1 ? '1 frame' : `${body.frames} frames`} shed: ${body.reason}`;
    case 'drift':
      return `level ${pointOf(body)} ${body.state === 'begins' ? 'drifts' : 'drifts no more'}: ${body.reason}`;
    case 'quarantine':
      return `${pointOf(body)} is ${body.state === 'begins' ? 'kept out of' : 'let into'} service: ${body.reason}`;
    case 'gap':
      return `${body.records} records lost (${body.from}-${body.to}): ${body.reason}`;
    case 'throttle':
      return `${body.state === 'begins' ? 'slowed down' : 'slowed down no more'}: ${body.reason}`;
    case 'install':
      return describeInstall(body);
    case 'fault':
    case 'alarm':
      return `${body.what}: ${body.reason}`;
  }
}

function pointOf({ pe, level }: { readonly pe?: string; readonly level: number }): string {
  return pe === undefined ? String(level) : `${pe}/${level}`;
}

function describeInstall(body: Extract<EventRow['body'], { kind: 'install' }>): string {
  const { what, name, version, deed, state, step, reason } = body;
  const doing = `${deed === 'install' ? '' : 'back from '}${what} ${name} ${version}`;
  return `${doing}: ${state === 'in-progress' ? step : state}${reason === undefined ? '' : `: ${reason}`}`;
}
