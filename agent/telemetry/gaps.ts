import type { EventBody } from '../../shared/protocol/event.ts';
import type { Row } from './outbox-store.ts';

/** What is known of a record when it is dropped. */
export type Dropped = Pick<Row, 'bootId' | 'seq' | 'kind' | 'body'>;

export type GapEvent = Extract<EventBody, { kind: 'gap' }>;

/** More gaps than this from one drop become one per boot: the account of what was dropped must not itself fill the outbox. */
const MAX_GAPS = 8;

/**
 * What dropped records leave behind: one gap per unbroken run of a boot. A gap event that is dropped itself
 * hands on what it accounted for.
 * @param reason why they were dropped, for people
 */
export function gapsOf(victims: readonly Dropped[], reason: string): GapEvent[] {
  const pieces = victims
    .flatMap((victim) => piecesOf(victim, reason))
    .sort((a, b) => a.bootId.localeCompare(b.bootId, 'en') || a.from - b.from);
  const exact = merge(pieces, (last, next) => last.to + 1 === next.from && last.reason === next.reason);
  return exact.length <= MAX_GAPS ? exact : merge(pieces, () => true);
}

function piecesOf({ bootId, seq, kind, body }: Dropped, reason: string): GapEvent[] {
  const own: GapEvent = { kind: 'gap', bootId, from: seq, to: seq, records: 1, reason };
  if (kind !== 'event') return [own];
  // What this program wrote into its own outbox.
  const event = JSON.parse(body) as EventBody;
  return event.kind === 'gap' ? [event, own] : [own];
}

function merge(pieces: readonly GapEvent[], joins: (last: GapEvent, next: GapEvent) => boolean): GapEvent[] {
  const merged: GapEvent[] = [];
  for (const piece of pieces) {
    const last = merged.at(-1);
    if (last !== undefined && last.bootId === piece.bootId && joins(last, piece)) {
      last.to = Math.max(last.to, piece.to);
      last.records += piece.records;
    } else merged.push({ ...piece });
  }
  return merged;
}
