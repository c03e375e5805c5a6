import type { EventBody, SeqRange } from '../../../shared/protocol/event.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import type { KnownDevice } from './scope.ts';

export type GapBody = Extract<EventBody, { kind: 'gap' }>;

/** A counted loss: what the device said, and when. */
export interface CountedGap {
  /** Number of the device's series. */
  readonly device: number;
  readonly ts: number;
  readonly body: GapBody;
}

export interface GapSource {
  /**
   * Records that the devices (undefined: all) counted as lost between two times, the second not included. What was
   * counted twice is lost once, and what came in all the same is not lost.
   */
  lostIn(devices: readonly KnownDevice[] | undefined, since: number, until: number): number;
  /** Losses that all devices counted between two times. */
  counted(since: number, until: number): Iterable<CountedGap>;
  /** Losses that a device ever counted. */
  countedBy(device: number): CountedGap[];
}

interface Row {
  readonly device: number;
  readonly ts: number;
  readonly body: string;
}

type Told = [device: number, bootId: string, from: number, to: number, records: number];

/** What a boot said that it lost: maybe some of it twice, and maybe with some that came in all the same. */
interface Loss {
  readonly device: number;
  readonly bootId: string;
  readonly ranges: SeqRange[];
  records: number;
}

function spanOf(ranges: readonly SeqRange[]): SeqRange {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (const [from, to] of ranges) {
    low = Math.min(low, from);
    high = Math.max(high, to);
  }
  return [low, high];
}

/** How many numbers lie in one of the ranges and in none of `seen`, which are disjoint and rising. */
export function countOutside(ranges: readonly SeqRange[], seen: readonly SeqRange[]): number {
  let [count, next, at] = [0, 0, 0];
  for (const [from, to] of ranges.toSorted(([a], [b]) => a - b)) {
    next = Math.max(next, from);
    while (next <= to) {
      while ((seen[at]?.[1] ?? Number.POSITIVE_INFINITY) < next) at += 1;
      const [begin, end] = seen[at] ?? [Number.POSITIVE_INFINITY, 0];
      count += Math.max(0, Math.min(to + 1, begin) - next);
      next = begin > to ? to + 1 : Math.max(next, end + 1);
    }
  }
  return count;
}

/** Gap events, on a connection that is only read. */
export function createGapSource(sqlite: Sqlite): GapSource {
  const told = sqlite.prepare<[number, number], Told>(
    `SELECT device, json_extract(body, '$.bootId'), json_extract(body, '$.from'), json_extract(body, '$.to'),
       json_extract(body, '$.records')
     FROM events WHERE kind = 'gap' AND ts >= ? AND ts < ?`,
  );
  const seen = sqlite.prepare<[number, string, number, number], SeqRange>(
    `SELECT from_seq, to_seq FROM seen
     WHERE boot = (SELECT id FROM boots WHERE device = ? AND boot_id = ?) AND to_seq >= ? AND from_seq <= ?
     ORDER BY from_seq`,
  );
  told.raw();
  seen.raw();
  const counted = sqlite.prepare<[number, number], Row>(
    "SELECT device, ts, body FROM events WHERE kind = 'gap' AND ts >= ? AND ts < ?",
  );
  const countedBy = sqlite.prepare<[number], Row>(
    "SELECT device, ts, body FROM events WHERE kind = 'gap' AND device = ?",
  );
  return {
    lostIn: (devices, since, until) => {
      const wanted = devices && new Set(devices.map(({ id }) => id));
      const losses = new Map<string, Loss>();
      for (const [device, bootId, from, to, records] of told.iterate(since, until)) {
        if (wanted !== undefined && !wanted.has(device)) continue;
        const key = `${device}/${bootId}`;
        const loss = losses.get(key) ?? { device, bootId, ranges: [], records: 0 };
        losses.set(key, loss);
        loss.ranges.push([from, to]);
        loss.records += records;
      }
      let lost = 0;
      for (const { device, bootId, ranges, records } of losses.values()) {
        const [low, high] = spanOf(ranges);
        lost += Math.min(records, countOutside(ranges, seen.all(device, bootId, low, high)));
      }
      return lost;
    },
    *counted(since, until) {
      for (const row of counted.iterate(since, until)) yield gapOf(row);
    },
    countedBy: (device) => countedBy.all(device).map(gapOf),
  };
}

function gapOf({ device, ts, body }: Row): CountedGap {
  return { device, ts, body: JSON.parse(body) as GapBody };
}
