import { invariant } from '../../../shared/errors.ts';
import { DISTRIBUTIONS, type DistributionName } from '../../../shared/protocol/window.ts';
import { addGauge, SUMMARY_GAUGES } from './gauges.ts';
import { beginReading, beginWriting, putHex, putNumber, takeHex, takeNumber, written } from './numbers.ts';
import { joinSketches, mergeNext, type SketchReader } from './sketch-column.ts';
import {
  addDist,
  COUNTERS,
  comparePoints,
  emptySummary,
  isOther,
  OTHER_FAMILY,
  POINT_COUNTERS,
  type PointSummary,
  pointIn,
  type Summary,
} from './summary.ts';

/** A summary as a row of a roll-up table keeps it. */
export interface SummaryRow {
  /** All but the sketches: the numbers of `numbers.ts`. */
  readonly body: string;
  /** Sketches of the points that have values of this kind, in the order of the points; null: none has. */
  readonly latency: Uint8Array | null;
  readonly slowdown: Uint8Array | null;
  readonly queue: Uint8Array | null;
  readonly energy: Uint8Array | null;
}

/** What is read of a row: columns that are not needed may be left out. */
export type ReadRow = Partial<SummaryRow> & Pick<SummaryRow, 'body'>;

/** The sketches to decode: those of one kind, or none. */
export type Wanted = DistributionName | undefined;

const COLUMNS = {
  latencyMs: 'latency',
  slowdown: 'slowdown',
  queueMs: 'queue',
  energyJ: 'energy',
} as const satisfies Record<DistributionName, keyof SummaryRow>;

/** The layout of the body below; another one gets another number. */
const FORMAT = 1;
const FAMILY_DIGITS = OTHER_FAMILY.length;

/** Encodes a summary, exactly. Equal summaries give equal rows. */
export function rowOf(summary: Summary): SummaryRow {
  const points = [...summary.points.values()].sort(comparePoints);
  const column = (name: DistributionName) =>
    joinSketches(points.flatMap(({ dist }) => dist[name]?.sketch ?? []));
  return {
    body: bodyOf(summary, points),
    latency: column('latencyMs'),
    slowdown: column('slowdown'),
    queue: column('queueMs'),
    energy: column('energyJ'),
  };
}

function bodyOf(summary: Summary, points: readonly PointSummary[]): string {
  beginWriting();
  putNumber(FORMAT);
  for (const name of COUNTERS) putNumber(summary[name]);
  putGauges(summary);
  const families = [...new Set(points.filter((point) => !isOther(point)).map(({ family }) => family))];
  putNumber(families.length);
  for (const family of families) putHex(family);
  putNumber(points.length);
  for (const point of points) putPoint(point, families.indexOf(point.family));
  return written();
}

function putGauges({ gauges }: Summary): void {
  const known = SUMMARY_GAUGES.flatMap((name, index) => {
    const gauge = gauges.get(name);
    return gauge === undefined ? [] : [{ index, gauge }];
  });
  putNumber(known.length);
  for (const { index, gauge } of known) {
    putNumber(index);
    putNumber(gauge.sumMs);
    putNumber(gauge.ms);
    putNumber(gauge.min);
    putNumber(gauge.max);
  }
}

/** @param family its place in the list of families; -1 in the point that stands for several */
function putPoint(point: PointSummary, family: number): void {
  putNumber(family);
  putNumber(point.pe === 'gpu' ? 1 : 0);
  putNumber(point.level);
  for (const name of POINT_COUNTERS) putNumber(point[name]);
  let bits = 0;
  for (const [index, name] of DISTRIBUTIONS.entries()) if (point.dist[name] !== undefined) bits |= 1 << index;
  putNumber(bits);
  for (const name of DISTRIBUTIONS) {
    const dist = point.dist[name];
    if (dist === undefined) continue;
    putNumber(dist.count);
    putNumber(dist.sum);
    putNumber(dist.min);
    putNumber(dist.max);
  }
}

/**
 * Decodes a row. Without all of its sketches the summary must not be stored again.
 * @param wanted the sketches to decode; the others stay empty, and their columns need not have been read. Whoever
 * wants those of one distribution asks for nothing else: gauges and the other distributions are left out then
 * @throws AppError `invalid` when a sketch is broken
 */
export function summaryOfRow(row: ReadRow, wanted: 'all' | Wanted): Summary {
  const summary = emptySummary();
  mergeRow(summary, row, wanted);
  return summary;
}

/** Adds a row: the same as merging its summary, and faster. See `summaryOfRow`. */
export function mergeRow(into: Summary, row: ReadRow, wanted: 'all' | Wanted): void {
  beginReading(row.body);
  invariant(takeNumber() === FORMAT, 'a row has the format of this version');
  for (const name of COUNTERS) into[name] += takeNumber();
  const isWhole = wanted === 'all' || wanted === undefined;
  for (let left = takeNumber(); left > 0; left -= 1) {
    const name = SUMMARY_GAUGES[takeNumber()];
    invariant(name !== undefined, 'a row has only gauges of the list');
    const [sumMs, ms, min, max] = [takeNumber(), takeNumber(), takeNumber(), takeNumber()];
    if (isWhole) addGauge(into.gauges, name, sumMs, ms, min, max);
  }
  const families: string[] = [];
  for (let left = takeNumber(); left > 0; left -= 1) families.push(takeHex(FAMILY_DIGITS));
  const readers = DISTRIBUTIONS.map((name) => readerOf(row, name, wanted));
  // Every object that is not made counts: a question goes through thousands of rows.
  const isTaken = DISTRIBUTIONS.map((name) => isWhole || name === wanted);
  for (let left = takeNumber(); left > 0; left -= 1) takePoint(into, families, { readers, isTaken });
}

function readerOf(row: ReadRow, name: DistributionName, wanted: 'all' | Wanted): SketchReader | undefined {
  const bytes = wanted === 'all' || wanted === name ? row[COLUMNS[name]] : null;
  return bytes === null || bytes === undefined ? undefined : { bytes, at: 0 };
}

/** By the place of a distribution in the list of them. */
interface Takers {
  readonly readers: readonly (SketchReader | undefined)[];
  readonly isTaken: readonly boolean[];
}

function takePoint(into: Summary, families: readonly string[], { readers, isTaken }: Takers): void {
  const family = families[takeNumber()] ?? OTHER_FAMILY;
  const point = pointIn(into, family, takeNumber() === 1 ? 'gpu' : 'cpu', takeNumber());
  for (const name of POINT_COUNTERS) point[name] += takeNumber();
  const bits = takeNumber();
  for (const [index, name] of DISTRIBUTIONS.entries()) {
    if ((bits & (1 << index)) === 0) continue;
    const [count, sum, min, max] = [takeNumber(), takeNumber(), takeNumber(), takeNumber()];
    if (isTaken[index] !== true) continue;
    const { sketch } = addDist(point, name, count, sum, min, max);
    const reader = readers[index];
    if (reader !== undefined) mergeNext(reader, sketch);
  }
}
