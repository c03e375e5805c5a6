import {
  DISTRIBUTIONS,
  type Distribution,
  type DistributionName,
  type PointWindow,
  type ProcessingElement,
  type WindowBody,
} from '../../../shared/protocol/window.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { FLAGS } from '../schema.ts';
import { addGauge, type GaugeSum, gaugesOfWindow } from './gauges.ts';

/** Values of one kind: exact count and extremes, their sum, and a sketch for quantiles. An accumulator. */
export interface Dist {
  count: number;
  sum: number;
  min: number;
  max: number;
  readonly sketch: Sketch;
}

/** What one operating point did; every number adds up. */
export interface PointSummary {
  /** SHA-256 of the family's manifest. */
  readonly family: string;
  readonly pe: ProcessingElement;
  readonly level: number;
  inferences: number;
  misses: number;
  labelled: number;
  correct: number;
  /** How long it was the operating point in use, milliseconds. */
  timeMs: number;
  confidenceSum: number;
  /** How many inferences `confidenceSum` is of. */
  confidenceCount: number;
  audits: number;
  agreed: number;
  /** Only of what has values. */
  readonly dist: Partial<Record<DistributionName, Dist>>;
}

/**
 * The content of any span of time (a window, a minute, an hour, a day) of any number of devices. Two of them
 * can be merged, in any order: counts, extremes and sketches come out exactly the same, sums up to rounding.
 */
export interface Summary {
  windows: number;
  /** Sum of the windows' lengths, milliseconds. */
  coveredMs: number;
  /** Windows that were dated by the controller, and those that came in late. */
  redated: number;
  late: number;
  switches: number;
  skipped: number;
  unreadable: number;
  failed: number;
  sheds: number;
  /** Energy of whole devices, joules, and for how many milliseconds it is known, in all and by quality. */
  energyJ: number;
  energyMs: number;
  measuredMs: number;
  modelledMs: number;
  /** By name, see `SUMMARY_GAUGES`. What a window knows only of its end counts for all of the window. */
  readonly gauges: Map<string, GaugeSum>;
  /** By family, processing element and level; see `MAX_POINTS` and `isOther`. */
  readonly points: Map<string, PointSummary>;
}

/** What adds up in a summary, and in a point. Stored rows have them in this order. */
export const COUNTERS = [
  'windows',
  'coveredMs',
  'redated',
  'late',
  'switches',
  'skipped',
  'unreadable',
  'failed',
  'sheds',
  'energyJ',
  'energyMs',
  'measuredMs',
  'modelledMs',
] as const satisfies readonly (keyof Summary)[];
export const POINT_COUNTERS = [
  'inferences',
  'misses',
  'labelled',
  'correct',
  'timeMs',
  'confidenceSum',
  'confidenceCount',
  'audits',
  'agreed',
] as const satisfies readonly (keyof PointSummary)[];

/**
 * Operating points in one summary, at most. A family that changes every minute, or a device that invents
 * levels, must not make rows of any size: of more points those with the highest levels (then families) are
 * added up in one point per processing element, see `isOther`. Which ones these are depends on the set of
 * points alone and not on the order in which they came, so that merging stays commutative and associative.
 */
export const MAX_POINTS = 64;
/** Family and level of the point in which the points beyond `MAX_POINTS` are added up. */
export const OTHER_FAMILY = '0'.repeat(64);
export const OTHER_LEVEL = -1;

/** Whether the point stands for several: its family and level say nothing. */
export function isOther({ level }: Pick<PointSummary, 'level'>): boolean {
  return level === OTHER_LEVEL;
}

/** The summary of nothing. */
export function emptySummary(): Summary {
  return {
    windows: 0,
    coveredMs: 0,
    redated: 0,
    late: 0,
    switches: 0,
    skipped: 0,
    unreadable: 0,
    failed: 0,
    sheds: 0,
    energyJ: 0,
    energyMs: 0,
    measuredMs: 0,
    modelledMs: 0,
    gauges: new Map(),
    points: new Map(),
  };
}

/** Adds all that `from` holds to `into`; `from` stays as it is, and shares nothing with `into`. */
export function mergeSummary(into: Summary, from: Summary): void {
  for (const name of COUNTERS) into[name] += from[name];
  for (const [name, { sumMs, ms, min, max }] of from.gauges) addGauge(into.gauges, name, sumMs, ms, min, max);
  for (const point of from.points.values()) {
    mergePoint(pointIn(into, point.family, point.pe, point.level), point);
  }
}

/**
 * The point of a summary that counts for an operating point; it is made where there is none. Nothing else
 * may be added to the summary before the point has got what it is for.
 */
export function pointIn(into: Summary, family: string, pe: ProcessingElement, level: number): PointSummary {
  const key = `${family}/${pe}/${level}`;
  const known = into.points.get(key);
  if (known !== undefined) return known;
  if (into.points.size >= MAX_POINTS && level !== OTHER_LEVEL) {
    const kept = makeRoom(into, family, pe, level);
    if (!kept) return pointIn(into, OTHER_FAMILY, pe, OTHER_LEVEL);
  }
  const point: PointSummary = {
    family,
    pe,
    level,
    inferences: 0,
    misses: 0,
    labelled: 0,
    correct: 0,
    timeMs: 0,
    confidenceSum: 0,
    confidenceCount: 0,
    audits: 0,
    agreed: 0,
    dist: {},
  };
  into.points.set(key, point);
  return point;
}

/** Whether a new point may be one of its own; another one gives way to it where it comes before that. */
function makeRoom(into: Summary, family: string, pe: ProcessingElement, level: number): boolean {
  const own = [...into.points].filter(([, point]) => !isOther(point));
  if (own.length < MAX_POINTS) return true;
  const [key, last] = own.reduce((a, b) => (comparePoints(a[1], b[1]) < 0 ? b : a));
  if (comparePoints(last, { family, pe, level }) < 0) return false;
  into.points.delete(key);
  mergePoint(pointIn(into, OTHER_FAMILY, last.pe, OTHER_LEVEL), last);
  return true;
}

type PointKey = Pick<PointSummary, 'family' | 'pe' | 'level'>;

/** Order of points, for `sort`: low levels first, which are real ones. */
export function comparePoints(a: PointKey, b: PointKey): number {
  if (a.level !== b.level) return a.level - b.level;
  if (a.family !== b.family) return a.family < b.family ? -1 : 1;
  return a.pe < b.pe ? -1 : Number(a.pe > b.pe);
}

function mergePoint(into: PointSummary, from: PointSummary): void {
  for (const name of POINT_COUNTERS) into[name] += from[name];
  for (const name of DISTRIBUTIONS) {
    const values = from.dist[name];
    if (values === undefined) continue;
    addDist(into, name, values.count, values.sum, values.min, values.max).sketch.merge(values.sketch);
  }
}

/** Adds values to a distribution of a point, all but their sketch: that goes into the one that is returned. */
export function addDist(
  into: PointSummary,
  name: DistributionName,
  count: number,
  sum: number,
  min: number,
  max: number,
): Dist {
  const known = into.dist[name];
  if (known === undefined) {
    const made = { count, sum, min, max, sketch: new Sketch() };
    into.dist[name] = made;
    return made;
  }
  known.count += count;
  known.sum += sum;
  if (min < known.min) known.min = min;
  if (max > known.max) known.max = max;
  return known;
}

/** The summary of one window. @param flags as they are stored with it, see `FLAGS` */
export function summaryOfWindow(body: WindowBody, flags: number): Summary {
  const summary = emptySummary();
  addWindow(summary, body, flags);
  return summary;
}

/** Adds a window: the same as merging its summary, and faster. */
export function addWindow(into: Summary, body: WindowBody, flags: number): void {
  into.windows += 1;
  into.coveredMs += body.durationMs;
  into.redated += (flags & FLAGS.redated) === 0 ? 0 : 1;
  into.late += (flags & FLAGS.late) === 0 ? 0 : 1;
  into.switches += body.switches;
  into.skipped += body.skipped;
  into.unreadable += body.unreadable;
  into.failed += body.failed;
  into.sheds += body.sheds ?? 0;
  addEnergy(into, body);
  gaugesOfWindow(body, (name, mean, ms, min, max) => addGauge(into.gauges, name, mean * ms, ms, min, max));
  for (const point of body.points) addPoint(pointIn(into, body.family, point.pe, point.level), point);
}

function addEnergy(into: Summary, { energyJ, energyQuality, durationMs, ...body }: WindowBody): void {
  if (energyJ === undefined) return;
  const energyMs = body.energyMs ?? durationMs;
  into.energyJ += energyJ;
  into.energyMs += energyMs;
  if (energyQuality === 'measured') into.measuredMs += energyMs;
  if (energyQuality === 'modelled') into.modelledMs += energyMs;
}

function addPoint(into: PointSummary, from: PointWindow): void {
  into.inferences += from.inferences;
  into.misses += from.misses;
  into.labelled += from.labelled;
  into.correct += from.correct;
  into.timeMs += from.timeMs ?? 0;
  if (from.confidenceSum !== undefined) {
    into.confidenceSum += from.confidenceSum;
    into.confidenceCount += from.inferences;
  }
  into.audits += from.audits ?? 0;
  into.agreed += from.agreed ?? 0;
  for (const name of DISTRIBUTIONS) addValues(into, name, from[name]);
}

/** A least value of nothing would be one. */
function addValues(into: PointSummary, name: DistributionName, from: Distribution | undefined): void {
  if (from === undefined || from.count === 0) return;
  const { sketch } = addDist(into, name, from.count, from.sum, from.min, from.max);
  sketch.mergeBytes(scratch, 0, scratch.write(from.sketch, 'base64'));
}

/** Room for the bytes of one sketch, which has no more than 16,384 characters in a window. */
const scratch = Buffer.alloc(16_384);
