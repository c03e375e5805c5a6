import { median } from '../../shared/statistics.ts';

/** What an inference says of the profile. */
export interface ResidualSeen {
  /** Index into the profile. */
  readonly point: number;
  /** Measured latency as a multiple of the profile's. */
  readonly ratio: number;
  /** Whether the machine is otherwise calm: under contention the ratio says nothing of the profile. */
  readonly calm: boolean;
  /** Monotonic, milliseconds. */
  readonly nowMs: number;
}

/** How a profile no longer fits. Ratios are measured latency to the profile's. */
export type Misfit =
  /** One point against the others. */
  | { readonly kind: 'point'; readonly point: number; readonly ratio: number }
  /** All of them: even the best recent ratios are slower, or most of them are faster. */
  | { readonly kind: 'floor'; readonly ratio: number };

export interface ResidualOptions {
  /** How far off a ratio may be for long: default 0.15. */
  readonly tolerance?: number;
  /** For how long in calm time, default 2 min. */
  readonly holdMs?: number;
  /** What was seen weighs half as much after this time, default 5 min. */
  readonly halfLifeMs?: number;
}

export interface ResidualWatch {
  observe(seen: ResidualSeen): void;
  /** How the profile does not fit, once that has held for long; undefined while it fits or nobody knows. */
  misfit(): Misfit | undefined;
  /**
   * There is a new profile: forgets what was seen. Should what was wrong still be so, then it is not the
   * profile's age but a difference between measuring and serving, such as another pace, and not told again.
   */
  reset(): void;
}

/** Inferences of a point, as they weigh now, below which its mean is not looked at. */
const MIN_WEIGHT = 20;
/** A single inference counts as no more than twice or half: a mean must not follow a few slow ones. */
const MAX_LOG = Math.LN2;
/** Calm time that one inference stands for, at most: pauses are no evidence. */
const MAX_GAP_MS = 1_000;
/** The quantile that stands for the best ratio: a minimum would follow a single lucky inference. */
const BEST_QUANTILE = 0.1;
/** Of the tracked quantiles, in logarithms per inference: the best ratio rises 15 % in some 100. */
const QUANTILE_STEP = 0.015;

/** How often it is looked at what has been learnt. */
const CHECK_MS = 1_000;

/** A mean whose past fades. */
interface Fading {
  readonly weight: number;
  readonly sum: number;
  readonly atMs: number;
}

interface Learnt {
  readonly means: Fading[];
  /** Logarithms of the low quantile and of the median of all ratios, roughly. */
  best: number;
  middle: number;
  inferences: number;
  lastMs: number | undefined;
  /** Calm time since it was last looked at what has been learnt. */
  uncheckedMs: number;
  misfit: Misfit | undefined;
  /** For how long there has been a misfit of this kind. */
  heldMs: number;
}

/**
 * Watches whether a profile still fits, from the ratios of measured latency to the profile's in calm times.
 * It does not when one point's mean ratio is off from the median of the others', or all ratios are off from
 * one, by more than `tolerance` and for `holdMs` without a break. All are slower when even the best tenth is:
 * what slows down now and then is load. They are faster when most are: the best tenth always is. Ratios are
 * averaged as logarithms. No clock and no I/O; its memory is a few numbers for each point.
 * @param points number of points of the profile
 */
export function residualWatch(points: number, options: ResidualOptions = {}): ResidualWatch {
  const { tolerance = 0.15, holdMs = 120_000, halfLifeMs = 300_000 } = options;
  const limit = Math.log1p(tolerance);
  let state = nothing(points);
  let accepted: readonly Misfit[] = [];
  const check = (nowMs: number): void => {
    const before = state.misfit?.kind;
    state.misfit = misfitOf(state, { nowMs, limit, halfLifeMs, accepted });
    const goesOn = state.misfit !== undefined && state.misfit.kind === before;
    state.heldMs = goesOn ? state.heldMs + state.uncheckedMs : 0;
    state.uncheckedMs = 0;
  };
  const held = (): Misfit | undefined => (state.heldMs >= holdMs ? state.misfit : undefined);
  return {
    reset: () => {
      const misfit = held();
      if (misfit !== undefined) accepted = [misfit, ...accepted.filter((other) => !isSame(other, misfit))];
      state = nothing(points);
    },
    observe: ({ point, ratio, calm, nowMs }) => {
      if (!calm || !(ratio > 0 && Number.isFinite(ratio) && Number.isFinite(nowMs))) return;
      const log = Math.min(MAX_LOG, Math.max(-MAX_LOG, Math.log(ratio)));
      const gapMs = Math.max(0, nowMs - (state.lastMs ?? nowMs));
      state.uncheckedMs += Math.min(gapMs, MAX_GAP_MS);
      state.lastMs = nowMs;
      learn(state, point, log, { nowMs, halfLifeMs });
      if (state.uncheckedMs >= CHECK_MS) check(nowMs);
    },
    misfit: held,
  };
}

function nothing(points: number): Learnt {
  return {
    means: Array.from({ length: points }, () => ({ weight: 0, sum: 0, atMs: 0 })),
    best: 0,
    middle: 0,
    inferences: 0,
    lastMs: undefined,
    uncheckedMs: 0,
    misfit: undefined,
    heldMs: 0,
  };
}

function learn(state: Learnt, point: number, log: number, at: { nowMs: number; halfLifeMs: number }): void {
  const mean = state.means[point];
  if (mean === undefined) return;
  const left = fade(mean, at);
  const atMs = Math.max(mean.atMs, at.nowMs);
  state.means[point] = { weight: mean.weight * left + 1, sum: mean.sum * left + log, atMs };
  state.best += QUANTILE_STEP * (log < state.best ? BEST_QUANTILE - 1 : BEST_QUANTILE);
  state.middle += QUANTILE_STEP * (log < state.middle ? -0.5 : 0.5);
  state.inferences += 1;
}

/** What is left of a mean's weight. */
function fade({ atMs }: Fading, { nowMs, halfLifeMs }: { nowMs: number; halfLifeMs: number }): number {
  return 2 ** (-Math.max(0, nowMs - atMs) / halfLifeMs);
}

interface At {
  readonly nowMs: number;
  readonly limit: number;
  readonly halfLifeMs: number;
  /** What is off by as much as it was before the profile was measured again. */
  readonly accepted: readonly Misfit[];
}

function misfitOf(state: Learnt, at: At): Misfit | undefined {
  const found = [...pointsOff(state, at), ...allOff(state, at)];
  return found.find((misfit) => !at.accepted.some((other) => isAsBefore(misfit, other, at.limit)));
}

/** Points that are off from the others, the worst first. */
function pointsOff({ means }: Learnt, at: At): Misfit[] {
  const known = means.flatMap((mean, point) =>
    mean.weight * fade(mean, at) >= MIN_WEIGHT ? [{ point, mean: mean.sum / mean.weight }] : [],
  );
  const residuals = known.flatMap(({ point, mean }) => {
    const others = known.filter((other) => other.point !== point).map((other) => other.mean);
    const off = mean - median(others);
    return Math.abs(off) > at.limit ? [{ point, off }] : [];
  });
  return residuals
    .sort((a, b) => Math.abs(b.off) - Math.abs(a.off))
    .map(({ point, off }) => ({ kind: 'point', point, ratio: Math.exp(off) }));
}

function allOff({ best, middle, inferences }: Learnt, { limit }: At): Misfit[] {
  const off = best > limit ? best : middle;
  const isOff = best > limit || middle < -limit;
  return isOff && inferences >= MIN_WEIGHT ? [{ kind: 'floor', ratio: Math.exp(off) }] : [];
}

function isSame(a: Misfit, b: Misfit): boolean {
  return a.kind === 'point' ? b.kind === 'point' && a.point === b.point : a.kind === b.kind;
}

function isAsBefore(now: Misfit, before: Misfit, limit: number): boolean {
  return isSame(now, before) && Math.abs(Math.log(now.ratio / before.ratio)) <= limit;
}
