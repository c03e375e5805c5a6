import { ASSUMED, accidentRate, type Counts, counted, jumpRate } from './counts.ts';
import { density, follow, type Regime } from './regime.ts';
import { addResidual, assumedResiduals, type Residuals } from './residuals.ts';

/**
 * The load of one processing element: by what factor latencies are above the profile, the same for all levels
 * (ALERT, Wan et al., USENIX ATC 2020, section 3: one slowdown predicts every network). In logarithms, so
 * that factors add up and noise is symmetric.
 *
 * The load stays near a regime and drifts; now and then it jumps to another one, when an application starts or
 * stops; and single inferences have accidents. One surprising latency can be either: until the next ones have
 * decided, both hypotheses are kept with their probabilities, so that a decision can weigh them.
 */
export interface Load {
  readonly regime: Regime;
  /** What the newest latencies would mean if they were a jump, and how probable that is. */
  readonly rival: Rival | undefined;
  /** What the newest latencies together would mean if they were a jump too small to surprise. */
  readonly suspect: Suspect | undefined;
  /** The newest residuals within the regime: noise, unless together they turn out to be a small jump. */
  readonly recent: readonly Recent[];
  readonly residuals: Residuals;
  readonly counts: Counts;
  /** Means of earlier regimes, the newest first: loads come back to where they were. */
  readonly earlier: readonly number[];
  /** The newest jump, while it may still turn out to have been an accident of several inferences. */
  readonly visit: Visit | undefined;
}

interface Suspect extends Regime {
  readonly probability: number;
}

interface Rival extends Suspect {
  /** Probability that no jump was due at the first inference that spoke for it. */
  readonly unexpected: number;
  /** When the first inference that spoke for it started. */
  readonly sinceMs: number;
  /** Residuals that become noise if it was an accident after all. */
  readonly pending: readonly number[];
}

interface Visit {
  /** Mean of the regime that was left. */
  readonly home: number;
  readonly isUp: boolean;
  /** Of all inferences since, against that mean. */
  readonly residuals: readonly number[];
}

interface Recent {
  readonly x: number;
  readonly residual: number;
  readonly atMs: number;
}

/** A change of regime that is certain now. */
export interface Jump {
  readonly from: number;
  readonly to: number;
  /** When the first inference of the new regime started. */
  readonly atMs: number;
  /** How probable a jump was then, from what is known of bursts, or after a long silence. */
  readonly due: number;
}

/** The load after an inference, and the jump that it made certain. */
export interface Followed {
  readonly load: Load;
  readonly jump: Jump | undefined;
}

/** One inference, as a logarithm of measured / profiled. */
export interface Measured {
  readonly x: number;
  readonly startedMs: number;
  /** Probability that a jump was due, from what is known of bursts, or after a long silence. */
  readonly due: number;
}

/** Of the noise, before it is known. */
const ASSUMED_SIGMA = 0.04;
/** The device may be loaded when the agent starts. */
const LOADED_AT_START: Rival = {
  mean: 0.3,
  trend: 0,
  seen: 1,
  probability: 0.05,
  unexpected: 1,
  sinceMs: 0,
  pending: [],
};
/** Density of a surprise: it may be anywhere within a factor of e^2 either way. */
const ANYWHERE = 0.25;
/** A hypothesis is taken for true above it, and dropped below its complement. */
const CERTAIN = 0.9;
/** More accidents than this are not accidents. */
const MOSTLY = 0.5;
/** Means that are this many deviations apart are different regimes. */
const APART = 2.5;
const EARLIER = 4;
/** A jump that is taken back within so many inferences was an accident. */
const BRIEF = 5;
/** From this probability down a jump was not unexpected. */
const EXPECTED = 0.5;
/** Inferences that the mean of an earlier regime counts for. */
const KNOWN = 20;
/** Inferences among which a small jump is looked for. */
const RECENT = 8;
/** Mean size of small jumps, as a logarithm. */
const SMALL = 0.15;
/** Below this probability a small jump is not worth weighing, and with a lower logarithm of likelihoods it has none. */
const LEAST_SUSPICION = 0.01;
const LEAST_RATIO = 3;
const MAX_PENDING = 8;
/** Slowdowns are between e^-10 and e^10; a clock that lies must not make numbers that cannot be worked with. */
const FARTHEST = 10;

/** What is assumed before the first inference: the device is about as it was when it was profiled. */
export function initialLoad(): Load {
  return {
    regime: { mean: 0, trend: 0, seen: 4 },
    rival: LOADED_AT_START,
    suspect: undefined,
    recent: [],
    residuals: assumedResiduals(ASSUMED_SIGMA),
    counts: ASSUMED,
    earlier: [],
    visit: undefined,
  };
}

/** Takes one inference in. */
export function followLoad(before: Load, { x: measured, startedMs, due }: Measured): Followed {
  const x = Math.min(FARTHEST, Math.max(-FARTHEST, measured));
  const load = { ...before, counts: counted(before.counts), visit: longer(before.visit, x) };
  if (load.rival !== undefined) return weighRival(load, load.rival, { x, startedMs, due });
  const { regime, residuals } = load;
  const accident = Math.min(MOSTLY, accidentRate(load.counts));
  const jump = Math.min(1 - accident, Math.max(due, jumpRate(load.counts)));
  const residual = x - regime.mean;
  const stays = (1 - jump - accident) * density(x, regime, residuals.sigma);
  const surprise = (jump + accident) * ANYWHERE;
  if (stays > surprise) return findSmallJump(withNoise(load, { x, residual, atMs: startedMs }));
  const rival: Rival = {
    ...regimeAt(x, load),
    probability: (jump * ANYWHERE) / (stays + surprise),
    unexpected: 1 - due,
    sinceMs: startedMs,
    pending: [residual],
  };
  return conclude({ ...load, suspect: undefined }, rival);
}

/** A visit with one more inference; undefined once it is too long to be one. */
function longer(visit: Visit | undefined, x: number): Visit | undefined {
  if (visit === undefined || visit.residuals.length >= BRIEF) return undefined;
  return { ...visit, residuals: [...visit.residuals, x - visit.home] };
}

/** A regime that begins at `x`, or one of the earlier ones where that is near. */
function regimeAt(x: number, { earlier, residuals }: Load): Regime {
  const near = earlier.find((mean) => Math.abs(mean - x) < APART * residuals.sigma);
  return near === undefined
    ? { mean: x, trend: 0, seen: 1 }
    : { mean: near + (x - near) / KNOWN, trend: 0, seen: KNOWN };
}

/** Residuals become noise when they are too old to be a jump. */
function withNoise(load: Load, newest: Recent): Load {
  const recent = [...load.recent, newest];
  const old = recent.length > RECENT ? recent.shift() : undefined;
  return {
    ...load,
    recent,
    regime: follow(load.regime, newest.x),
    residuals: old === undefined ? load.residuals : addResidual(load.residuals, old.residual),
  };
}

/**
 * A jump too small to surprise by one inference shows in the mean of a few. The likelihood that they began a
 * regime of their own is weighed against that of noise, by how often the load jumps and how far.
 */
function findSmallJump(load: Load): Followed {
  const suspect = suspectOf(load);
  if (suspect === undefined || suspect.probability < LEAST_SUSPICION) {
    return { load: { ...load, suspect: undefined }, jump: undefined };
  }
  if (suspect.probability < CERTAIN) return { load: { ...load, suspect }, jump: undefined };
  const newest = load.recent.slice(-suspect.seen);
  const sinceMs = newest[0]?.atMs ?? 0;
  const jump = { from: load.regime.mean, to: suspect.mean, atMs: sinceMs, due: 0 };
  const pending = newest.map(({ residual }) => residual);
  const recent = load.recent.slice(0, -suspect.seen);
  return { load: moved({ ...load, recent }, { ...suspect, unexpected: 1, sinceMs, pending }), jump };
}

/** The most probable of the jumps that may have been at one of the newest inferences. */
function suspectOf({ recent, residuals, counts }: Load): Suspect | undefined {
  const { sigma } = residuals;
  let best: Suspect | undefined;
  let [sum, sumX] = [0, 0];
  for (let seen = 1; seen <= recent.length; seen += 1) {
    const { residual = 0, x = 0 } = recent[recent.length - seen] ?? {};
    [sum, sumX] = [sum + residual, sumX + x];
    const ratio = sum ** 2 / (2 * seen * sigma ** 2);
    if (seen < 2 || ratio < LEAST_RATIO) continue;
    const size = Math.exp(-Math.abs(sum / seen) / SMALL) / (2 * SMALL);
    const odds = jumpRate(counts) * size * sigma * Math.sqrt((2 * Math.PI) / seen) * Math.exp(ratio);
    const probability = odds / (1 + odds);
    if (probability > (best?.probability ?? 0)) best = { mean: sumX / seen, trend: 0, seen, probability };
  }
  return best;
}

/** The inferences after a surprise decide between the regime and its rival. */
function weighRival(load: Load, rival: Rival, { x, startedMs }: Measured): Followed {
  const { regime, residuals } = load;
  const accident = accidentRate(load.counts) * ANYWHERE;
  const forRival = rival.probability * (density(x, rival, residuals.sigma) + accident);
  const forRegime = (1 - rival.probability) * (density(x, regime, residuals.sigma) + accident);
  const probability = forRival / (forRival + forRegime);
  if (Math.abs(x - rival.mean) >= Math.abs(x - regime.mean)) {
    const residual = x - regime.mean;
    return conclude(withNoise(load, { x, residual, atMs: startedMs }), { ...rival, probability });
  }
  const pending = [...rival.pending, x - regime.mean].slice(-MAX_PENDING);
  return conclude(load, { ...rival, ...follow(rival, x), probability, pending });
}

/** Takes a rival for true, or drops it, once that is as good as certain. */
function conclude(load: Load, rival: Rival): Followed {
  const { mean, probability, sinceMs, unexpected, pending } = rival;
  if (probability > CERTAIN) {
    const jump = { from: load.regime.mean, to: mean, atMs: sinceMs, due: 1 - unexpected };
    return { load: moved(load, rival), jump };
  }
  if (probability > 1 - CERTAIN) return { load: { ...load, rival }, jump: undefined };
  // Without an inference that spoke for it, it was an assumption.
  const happened = pending.length > 0 ? 1 : 0;
  const counts = { ...load.counts, accidents: load.counts.accidents + happened };
  const residuals = pending.reduce(addResidual, load.residuals);
  return { load: { ...load, counts, residuals, rival: undefined }, jump: undefined };
}

/** The rival is the regime now. */
function moved(load: Load, { mean, trend, seen, unexpected, pending }: Rival): Load {
  const { regime, residuals, counts, visit } = load;
  const near = APART * residuals.sigma;
  const others = load.earlier.filter((earlier) => Math.abs(earlier - regime.mean) > near);
  const after: Load = {
    ...load,
    regime: { mean, trend, seen },
    rival: undefined,
    suspect: undefined,
    recent: [],
    residuals: load.recent.reduce((noise, { residual }) => addResidual(noise, residual), residuals),
    earlier: [regime.mean, ...others].slice(0, EARLIER),
  };
  if (visit !== undefined && Math.abs(mean - visit.home) <= near) return returned(after, visit);
  const isUp = mean > regime.mean;
  return {
    ...after,
    counts: { ...counts, jumps: counts.jumps + 1, onsets: counts.onsets + (isUp ? unexpected : 0) },
    // What was expected is no accident, however short.
    visit: unexpected < EXPECTED ? undefined : { home: regime.mean, isUp, residuals: pending },
  };
}

/** The load has come back at once: neither that jump nor this one was one. */
function returned(load: Load, { isUp, residuals }: Visit): Load {
  const { inferences, jumps, onsets, accidents } = load.counts;
  return {
    ...load,
    counts: {
      inferences,
      jumps: Math.max(ASSUMED.jumps, jumps - 1),
      onsets: Math.max(ASSUMED.onsets, isUp ? onsets - 1 : onsets),
      accidents: accidents + 1,
    },
    residuals: residuals.reduce(addResidual, load.residuals),
    visit: undefined,
  };
}
