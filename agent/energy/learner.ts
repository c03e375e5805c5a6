import type { EnergyQuality } from '../../shared/protocol/reported.ts';
import type { OperatingPoint, Profile } from '../runtime/points.ts';
import {
  coefficients,
  measured,
  newRegression,
  type Prior,
  type Regression,
  withPriors,
} from './regression.ts';

/** Energy that the device used between two moments, monotonic milliseconds. */
export interface EnergyReading {
  readonly fromMs: number;
  readonly toMs: number;
  readonly energyJ: number;
  /** Only what was measured teaches anything. */
  readonly quality: EnergyQuality;
}

/** Inferences of one operating point that ended within a reading. */
export interface Work {
  /** Index into the profile. */
  readonly point: number;
  readonly inferences: number;
  /** Time that they ran, milliseconds. */
  readonly busyMs: number;
}

/** What is known of the machine's power beforehand, watts. */
export interface PowerModel {
  /** With nothing to infer. */
  readonly idleW?: number;
  /** Above idle, while an inference runs. */
  readonly activeW?: number;
}

export interface LearntEnergy {
  /** Of one inference above idle, joules; undefined when the quality is `unknown`. */
  readonly energyJ: number | undefined;
  readonly standardErrorJ: number | undefined;
  readonly quality: EnergyQuality;
}

export interface EnergyView {
  /** By operating point, in the profile's order. */
  readonly points: readonly LearntEnergy[];
  readonly idle: {
    readonly powerW: number | undefined;
    readonly standardErrorW: number | undefined;
    readonly quality: EnergyQuality;
  };
  /** Readings that were learnt from, pooled; and those that were absurd. */
  readonly intervals: number;
  readonly ignored: number;
}

/** What is learnt of one operating point beside its energy. */
interface PointState {
  /** Of one inference, milliseconds: the profile's at first. */
  readonly busyMs: number;
  /** Pooled readings that it took part in. */
  readonly intervals: number;
  readonly isMeasured: boolean;
}

interface Pool {
  readonly fromMs: number;
  readonly toMs: number;
  readonly energyJ: number;
  /** By operating point. */
  readonly inferences: readonly number[];
}

export interface EnergyState {
  readonly model: PowerModel;
  readonly points: readonly PointState[];
  /** Power in watts from idle power (first) and inferences per second of each point; none before a reading. */
  readonly regression: Regression | undefined;
  readonly pool: Pool | undefined;
  readonly lastMs: number | undefined;
  readonly ignored: number;
}

/** Sensors average over more than an inference, so shorter readings are put together. */
const POOL_MS = 1_000;
/** Readings follow one another when no more than this lies between them. */
const SEAM_MS = 50;
/** No device that this runs on uses more. */
const MOST_W = 100_000;
/** Readings that a point must have taken part in, and the relative error below which it is measured... */
const ENOUGH_INTERVALS = 5;
const MEASURED_ERROR = 0.2;
/** ...and above which it no longer is. */
const LOST_ERROR = 0.4;
/** Relative errors of what is given: idle power is measured somehow, a model of activity is a guess. */
const IDLE_ERROR = 0.05;
const MODEL_ERROR = 0.5;
/** Relative error of what is remembered of a point: below the one that ends it. */
const REMEMBERED_ERROR = 0.3;
/** Noise of a reading relative to the first one: at first, and at least. */
const FIRST_NOISE = 0.1;
const LEAST_NOISE = 0.001;
const BUSY_GAIN = 0.1;

/** Begins to learn the energy per inference of each operating point, from what the model says. */
export function initialEnergy(profile: Profile, model: PowerModel = {}): EnergyState {
  const points = profile.map(({ latencyMs }) => ({ busyMs: latencyMs, intervals: 0, isMeasured: false }));
  return { model, points, regression: undefined, pool: undefined, lastMs: undefined, ignored: 0 };
}

/**
 * Takes in a reading with the inferences that ended within it. Power = idle + sum over points of (inferences
 * per second x energy of one), solved by least squares as it comes. Idle power and energy can only be told
 * apart where the load changes: the standard errors tell whether they could. A reading that cannot be
 * (NaN, negative, time that goes backwards, work of no known point) is ignored and counted.
 */
export function energyReading(
  state: EnergyState,
  reading: EnergyReading,
  work: readonly Work[],
): EnergyState {
  const isSound =
    isPossible(reading, state.lastMs) && work.every((each) => isWork(each, state.points.length));
  if (!isSound) {
    // Time that went back stays there: go on from where it is now.
    const lastMs = Number.isFinite(reading.toMs) ? reading.toMs : state.lastMs;
    return { ...state, pool: undefined, lastMs, ignored: state.ignored + 1 };
  }
  const points = work.reduce(withBusy, state.points);
  const next = { ...state, points, lastMs: reading.toMs };
  if (reading.quality !== 'measured') return { ...next, pool: undefined };
  const pool = pooled(state.pool, reading, work, points.length);
  return pool.toMs - pool.fromMs < POOL_MS ? { ...next, pool } : learnt({ ...next, pool: undefined }, pool);
}

/** What has been learnt, and where nothing was, what the model says. */
export function energyView({ model, points, regression, ignored }: EnergyState): EnergyView {
  const [idle, ...found] = regression === undefined ? [] : coefficients(regression);
  const activeW = activeOf(points, found) ?? model.activeW;
  const { idleW } = model;
  const isIdleKnown = idle !== undefined && idle.deviation <= MEASURED_ERROR * idle.mean;
  const givenIdle = {
    powerW: idleW,
    standardErrorW: idleW === undefined ? undefined : IDLE_ERROR * idleW,
    quality: idleW === undefined ? ('unknown' as const) : ('modelled' as const),
  };
  return {
    points: points.map((point, index) => {
      const energy = found[index];
      if (!point.isMeasured || energy === undefined) return modelled(activeW, point);
      return { energyJ: energy.mean, standardErrorJ: energy.deviation, quality: 'measured' };
    }),
    idle: isIdleKnown
      ? { powerW: idle.mean, standardErrorW: idle.deviation, quality: 'measured' }
      : givenIdle,
    intervals: regression?.count ?? 0,
    ignored,
  };
}

/** The profile with the energy that is known of each point; what was there stays where nothing is. */
export function withEnergy(profile: Profile, { points }: Pick<EnergyView, 'points'>): Profile {
  return profile.map((point, index): OperatingPoint => {
    const energyJ = points[index]?.energyJ;
    return energyJ === undefined ? point : { ...point, energyJ };
  });
}

/**
 * Power above idle of the points that are measured, watts: a better model for the others than what is given,
 * and without it the measured and the modelled could not be compared with each other.
 */
function activeOf(points: readonly PointState[], found: readonly Prior[]): number | undefined {
  let [energyJ, seconds] = [0, 0];
  for (const [index, { isMeasured, busyMs }] of points.entries()) {
    if (!isMeasured) continue;
    energyJ += found[index]?.mean ?? 0;
    seconds += busyMs / 1_000;
  }
  return seconds > 0 ? energyJ / seconds : undefined;
}

function modelled(activeW: number | undefined, { busyMs }: PointState): LearntEnergy {
  if (activeW === undefined) return { energyJ: undefined, standardErrorJ: undefined, quality: 'unknown' };
  const energyJ = (activeW * busyMs) / 1_000;
  return { energyJ, standardErrorJ: MODEL_ERROR * energyJ, quality: 'modelled' };
}

function isPossible({ fromMs, toMs, energyJ }: EnergyReading, lastMs: number | undefined): boolean {
  const isForward = toMs > fromMs && fromMs >= (lastMs ?? Number.NEGATIVE_INFINITY) - SEAM_MS;
  const mostJ = (MOST_W * (toMs - fromMs)) / 1_000;
  return isForward && Number.isFinite(toMs - fromMs) && energyJ >= 0 && energyJ <= mostJ;
}

function isWork({ point, inferences, busyMs }: Work, points: number): boolean {
  const isKnown = Number.isInteger(point) && point >= 0 && point < points;
  return isKnown && Number.isSafeInteger(inferences) && inferences >= 0 && busyMs >= 0 && busyMs < 1e12;
}

function withBusy(points: readonly PointState[], { point, inferences, busyMs }: Work): readonly PointState[] {
  const of = points[point];
  if (of === undefined || inferences === 0) return points;
  const gain = 1 - (1 - BUSY_GAIN) ** inferences;
  return points.with(point, { ...of, busyMs: of.busyMs + gain * (busyMs / inferences - of.busyMs) });
}

function pooled(pool: Pool | undefined, reading: EnergyReading, work: readonly Work[], points: number): Pool {
  const { fromMs, toMs, energyJ } = reading;
  const isNext = pool !== undefined && Math.abs(fromMs - pool.toMs) <= SEAM_MS;
  const before = isNext ? pool : { fromMs, energyJ: 0, inferences: Array.from({ length: points }, () => 0) };
  const inferences = [...before.inferences];
  for (const each of work) inferences[each.point] = (inferences[each.point] ?? 0) + each.inferences;
  return { fromMs: before.fromMs, toMs, energyJ: before.energyJ + energyJ, inferences };
}

function learnt(state: EnergyState, { fromMs, toMs, energyJ, inferences }: Pool): EnergyState {
  const seconds = (toMs - fromMs) / 1_000;
  const watts = energyJ / seconds;
  const known = state.regression ?? beginning(state, watts);
  const factors = [1, ...inferences.map((count) => count / seconds)];
  const regression = measured(known, factors, watts);
  const [, ...found] = coefficients(regression);
  const points = state.points.map((point, index) => {
    if (inferences[index] === 0) return point;
    const intervals = point.intervals + 1;
    const isMeasured = intervals >= ENOUGH_INTERVALS && isCertain(found[index], point.isMeasured);
    return { ...point, intervals, isMeasured };
  });
  const priors = regression.priors.map((prior, index) => {
    const of = points[index - 1];
    return of?.isMeasured === true && inferences[index - 1] !== 0
      ? remembered(found[index - 1], prior)
      : prior;
  });
  return { ...state, regression: withPriors(regression, priors), points };
}

/** What was measured is what is believed of a point when it has not run for long, if less surely. */
function remembered(energy: Prior | undefined, prior: Prior): Prior {
  if (energy === undefined || !(energy.mean > 0)) return prior;
  return { mean: energy.mean, deviation: REMEMBERED_ERROR * energy.mean };
}

function isCertain(energy: Prior | undefined, was: boolean): boolean {
  return energy !== undefined && energy.deviation < (was ? LOST_ERROR : MEASURED_ERROR) * energy.mean;
}

/** Nothing of a device can use more than the whole of it: that is how wide the unknown is. */
function beginning({ model, points }: EnergyState, watts: number): Regression {
  const whole = Math.max(watts, model.idleW ?? 0, model.activeW ?? 0, 1e-3);
  const { idleW, activeW } = model;
  const idle =
    idleW === undefined
      ? { mean: watts / 2, deviation: whole }
      : { mean: idleW, deviation: Math.max(IDLE_ERROR * idleW, LEAST_NOISE * whole) };
  const each = points.map(({ busyMs }) => {
    const seconds = Math.max(busyMs, 1e-3) / 1_000;
    const mean = (activeW ?? 0) * seconds;
    return { mean, deviation: Math.max(mean, whole * seconds) };
  });
  return newRegression([idle, ...each], (FIRST_NOISE * whole) ** 2, (LEAST_NOISE * whole) ** 2);
}
