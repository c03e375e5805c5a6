import type { Logger } from '../shared/log.ts';
import type { EventBody } from '../shared/protocol/event.ts';
import type { ProcessingElement } from '../shared/protocol/window.ts';
import type { Refusal } from './desired/resolve.ts';
import type { PointState } from './report/document.ts';
import type { Serving } from './service/load-family.ts';
import type { FirstServing } from './serving.ts';

/** Who is told. */
export interface Told {
  readonly event: (body: EventBody) => void;
  readonly log: Logger;
}

/** Longest reason in a message of the protocol. */
const MAX_REASON = 1_000;

/** Says once, at the start, that another family than the configured one serves; what a report says of it. */
export function tellRefusedFamily(
  { family, refused }: Pick<FirstServing, 'family' | 'refused'>,
  { event, log }: Told,
): Refusal[] {
  if (refused === undefined) return [];
  const reason = refused.message.slice(0, MAX_REASON);
  log.error(`${reason}; refused, the last good family ${family.manifest.name} runs`);
  event({ kind: 'fault', what: 'family refused', reason });
  return [{ scope: 'configuration', field: 'family', reason }];
}

/** Says once, at the start, what the last process died of. */
export function tellJudgements({ judgements }: Pick<FirstServing, 'judgements'>, told: Told): void {
  for (const { suspect, sentence, reason } of judgements) {
    const { pe, level } = suspect.point;
    if (sentence === 'quarantined') tellPoint(pe, level, reason, told);
    else told.event({ kind: 'fault', what: 'a run did not end', reason: reason.slice(0, MAX_REASON) });
  }
}

/** Says once, when a family begins to serve, which of its levels cannot be run. */
export function tellLeftOut({ leftOut }: Pick<Serving, 'leftOut'>, told: Told): void {
  for (const { pe, level, reason } of leftOut) tellPoint(pe, level, reason, told);
}

function tellPoint(pe: ProcessingElement, level: number, reason: string, { event, log }: Told): void {
  log.warn({ pe, level }, reason);
  event({ kind: 'quarantine', state: 'begins', pe, level, reason: reason.slice(0, MAX_REASON) });
}

/** Levels that are not run: they are shown beside the others, with the reason. */
export function outOfService({ family, quarantined, leftOut }: Serving): PointState[] {
  return [...quarantined, ...leftOut].map(({ pe, level, reason }) => ({
    pe,
    level,
    accuracy: family.manifest.levels[level]?.accuracy ?? 0,
    latencyMs: 0,
    usable: false,
    quarantined: reason,
  }));
}
