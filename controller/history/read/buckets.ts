import { AppError } from '../../../shared/errors.ts';
import type { Zone } from '../../../shared/zone.ts';
import type { CalendarBucket } from '../../api/history-schemas.ts';
import { piecesOf, type ZonePiece } from './zone.ts';

/** Buckets of a question, at most, whether there is something in them or not. */
export const MAX_BUCKETS = 200_000;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** 1970-01-05 was the first Monday after the epoch. */
const FIRST_MONDAY_MS = 4 * DAY_MS;

/** How time is divided: by a length, by the calendar, or not at all. */
export type Bucketing = { readonly ms: number } | { readonly unit: CalendarBucket } | undefined;

/** Numbers the buckets of local time in their order; `startOf` is the least local time of a number. */
interface Ruler {
  idOf(localMs: number): number;
  startOf(id: number): number;
}

/** Usual length of a bucket, milliseconds; a month has 30 days here. */
export function usualLengthMs(bucketing: Exclude<Bucketing, undefined>): number {
  if ('ms' in bucketing) return bucketing.ms;
  return { day: 1, week: 7, month: 30 }[bucketing.unit] * DAY_MS;
}

/**
 * Edges of the buckets that a span touches: bucket `i` is from edge `i` up to, not including, edge `i + 1`.
 * The first edge lies at or before `since`, the last at or after `until`; without a division they are the
 * edges of the span itself. Buckets up to an hour follow each other evenly (a change of clocks that is no
 * multiple of them cuts one short); longer ones begin where the local clock first shows their beginning, so
 * that an hour which is shown twice lies in one of them, and a day has 23 or 25 hours.
 * @throws AppError `usage` when there would be more than `MAX_BUCKETS`
 */
export function edgesOf(
  span: { readonly since: number; readonly until: number },
  bucketing: Bucketing,
  zone: Zone,
): number[] {
  const { since, until } = span;
  if (bucketing === undefined || since >= until) return [since, Math.max(since, until)];
  const lengthMs = usualLengthMs(bucketing);
  const count = Math.ceil((until - since) / lengthMs);
  if (count > MAX_BUCKETS) {
    throw new AppError(
      'usage',
      `the question leads to ${count} buckets, more than ${MAX_BUCKETS}: ask for longer buckets, or a shorter time`,
    );
  }
  // Far enough out that the buckets of both ends begin and end in it, in every zone.
  const margin = lengthMs * 2 + 2 * DAY_MS;
  const pieces = piecesOf(zone, since - margin, until + margin);
  const ruler = rulerOf(bucketing);
  const all =
    'ms' in bucketing && bucketing.ms <= HOUR_MS ? evenEdges(pieces, ruler) : localEdges(pieces, ruler);
  const first = all.findLastIndex((edge) => edge <= since);
  const last = all.findIndex((edge) => edge >= until);
  return all.slice(first, last + 1);
}

/** Index of the bucket that a time lies in; edges as `edgesOf` gives them. */
export function bucketAt(edges: readonly number[], ts: number): number {
  let low = 0;
  let high = edges.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((edges[middle] ?? 0) <= ts) low = middle;
    else high = middle;
  }
  return low;
}

function rulerOf(bucketing: Exclude<Bucketing, undefined>): Ruler {
  if ('ms' in bucketing) return evenRuler(bucketing.ms, 0);
  if (bucketing.unit === 'day') return evenRuler(DAY_MS, 0);
  if (bucketing.unit === 'week') return evenRuler(7 * DAY_MS, FIRST_MONDAY_MS);
  return {
    idOf: (localMs) => {
      const date = new Date(localMs);
      return date.getUTCFullYear() * 12 + date.getUTCMonth();
    },
    startOf: (id) => Date.UTC(Math.floor(id / 12), ((id % 12) + 12) % 12),
  };
}

function evenRuler(ms: number, originMs: number): Ruler {
  return { idOf: (localMs) => Math.floor((localMs - originMs) / ms), startOf: (id) => id * ms + originMs };
}

/** Every beginning that the clocks show, and every change of the clocks. */
function evenEdges(pieces: readonly ZonePiece[], ruler: Ruler): number[] {
  const edges: number[] = [];
  for (const { from, to, offsetMs } of pieces) {
    if (edges.length > 0) edges.push(from);
    let id = ruler.idOf(from + offsetMs);
    // What lies on the piece's begin is there already, but for the first.
    if (edges.length > 0 || ruler.startOf(id) - offsetMs < from) id += 1;
    for (let edge = ruler.startOf(id) - offsetMs; edge < to; edge = ruler.startOf(id) - offsetMs) {
      edges.push(edge);
      id += 1;
    }
  }
  return edges;
}

/** Where the clocks first show the beginning of a bucket, or a time after it. */
function localEdges(pieces: readonly ZonePiece[], ruler: Ruler): number[] {
  const edges: number[] = [];
  const [first] = pieces;
  let latest = first === undefined ? 0 : ruler.idOf(first.from + first.offsetMs);
  for (const { from, to, offsetMs } of pieces) {
    const atStart = ruler.idOf(from + offsetMs);
    if (atStart > latest) {
      latest = atStart;
      edges.push(from);
    }
    for (;;) {
      const edge = ruler.startOf(latest + 1) - offsetMs;
      if (edge >= to) break;
      latest += 1;
      edges.push(Math.max(edge, from));
    }
  }
  return edges;
}
