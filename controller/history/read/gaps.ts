import type { SeqRange } from '../../../shared/protocol/event.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import type { GapRow } from '../../api/history-schemas.ts';
import { type CountedGap, createGapSource } from './gap-source.ts';
import type { KnownDevice } from './scope.ts';

export interface GapRange {
  /** Only these devices; all when it is undefined. */
  readonly devices: readonly string[] | undefined;
  readonly since: number;
  /** Not included. */
  readonly until: number;
  readonly limit: number;
}

export interface GapCore {
  /**
   * Records that are not in the history: those that devices counted as lost in the range, and those that are
   * missing from boots that ran in it. Newest first, at most `limit`.
   */
  gaps(range: GapRange): GapRow[];
}

interface BootRow {
  readonly id: number;
  readonly bootId: string;
  readonly firstTs: number;
  readonly previousBoot: string | null;
  readonly previousLastSeq: number | null;
}

/** Gaps, on a connection that is only read. */
export function createGapCore(sqlite: Sqlite): GapCore {
  const source = createGapSource(sqlite);
  const devices = sqlite.prepare<[], KnownDevice>("SELECT id, name FROM series WHERE kind = 'device'");
  const boots = sqlite.prepare<[number], BootRow>(
    `SELECT id, boot_id AS bootId, coalesce(first_ts, 0) AS firstTs, previous_boot AS previousBoot,
       previous_last_seq AS previousLastSeq
     FROM boots WHERE device = ? ORDER BY first_ts, id`,
  );
  const seen = sqlite.prepare<[number], SeqRange>(
    'SELECT from_seq, to_seq FROM seen WHERE boot = ? ORDER BY from_seq',
  );
  seen.raw();
  const read = sqlite.transaction((range: GapRange): GapRow[] => {
    const wanted = range.devices === undefined ? undefined : new Set(range.devices);
    const newest = newestOf(range.limit);
    const chosen = devices.all().filter(({ name }) => wanted === undefined || wanted.has(name));
    const nameOf = new Map(chosen.map(({ id, name }) => [id, name]));
    for (const gap of source.counted(range.since, range.until)) {
      const device = nameOf.get(gap.device);
      if (device !== undefined) newest.add(countedRow(device, gap));
    }
    for (const { id, name } of chosen) {
      const ofDevice = { device: name, boots: boots.all(id), counted: source.countedBy(id), range };
      for (const row of missingOf(ofDevice, (boot) => seen.iterate(boot))) newest.add(row);
    }
    return newest.rows();
  });
  return { gaps: (range) => read(range) };
}

/** Keeps the newest rows, without ever holding many more of them. */
function newestOf(limit: number) {
  let rows: GapRow[] = [];
  const trim = (): void => {
    rows = rows.sort((a, b) => b.ts - a.ts || b.from - a.from).slice(0, limit);
  };
  return {
    add: (row: GapRow): void => {
      rows.push(row);
      if (rows.length > 2 * limit + 1_000) trim();
    },
    rows: (): GapRow[] => {
      trim();
      return rows;
    },
  };
}

function countedRow(device: string, { ts, body }: CountedGap): GapRow {
  const { bootId, from, to, records, reason } = body;
  return { device, bootId, from, to, records, ts, state: 'counted', reason };
}

interface DeviceBoots {
  readonly device: string;
  /** In the order in which they began. */
  readonly boots: readonly BootRow[];
  readonly counted: readonly CountedGap[];
  readonly range: GapRange;
}

interface Hole {
  readonly bootId: string;
  readonly ts: number;
  readonly range: SeqRange;
}

function* missingOf(
  { device, boots, counted, range }: DeviceBoots,
  seenOf: (boot: number) => Iterable<SeqRange>,
): Generator<GapRow> {
  const lost = Map.groupBy(counted, ({ body }) => body.bootId);
  const accounted = (bootId: string): SeqRange[] =>
    (lost.get(bootId) ?? []).map(({ body }) => [body.from, body.to]);
  const lastSeqs = lastSeqsOf(boots);
  const known = new Set(boots.map(({ bootId }) => bootId));
  for (const [index, boot] of boots.entries()) {
    const endTs = boots[index + 1]?.firstTs ?? Number.POSITIVE_INFINITY;
    if (boot.firstTs >= range.until || endTs < range.since) continue;
    const { bootId, firstTs: ts, previousBoot } = boot;
    const holes = holesOf(joined(seenOf(boot.id), accounted(bootId)), lastSeqs.get(bootId) ?? 0);
    for (const hole of holes) yield missingRow(device, { bootId, ts, range: hole });
    if (previousBoot === null || known.has(previousBoot)) continue;
    // Of the boot before it nothing at all came in.
    for (const hole of holesOf(joined([], accounted(previousBoot)), boot.previousLastSeq ?? 0)) {
      yield missingRow(device, { bootId: previousBoot, ts, range: hole });
    }
  }
}

function missingRow(device: string, { bootId, ts, range: [from, to] }: Hole): GapRow {
  const reason = 'not received, and not counted as lost';
  return { device, bootId, from, to, records: to - from + 1, ts, state: 'missing', reason };
}

/** The last number of each boot, where the one after it told. */
function lastSeqsOf(boots: readonly BootRow[]): ReadonlyMap<string, number> {
  return new Map(
    boots.flatMap(({ previousBoot, previousLastSeq }) =>
      previousBoot === null ? [] : [[previousBoot, previousLastSeq ?? 0] as const],
    ),
  );
}

/** Ranges of both in the order of their begin; the second ones are few. */
function joined(a: Iterable<SeqRange>, b: readonly SeqRange[]): SeqRange[] {
  return [...a, ...b].sort(([x], [y]) => x - y);
}

/**
 * Numbers from 1 that lie in none of the ranges: between them, and after them up to `last`.
 * @param ranges closed, in the order of their begin; they may overlap
 */
export function* holesOf(ranges: Iterable<SeqRange>, last: number): Generator<SeqRange> {
  let next = 1;
  for (const [from, to] of ranges) {
    if (from > next) yield [next, from - 1];
    next = Math.max(next, to + 1);
  }
  if (next <= last) yield [next, last];
}
