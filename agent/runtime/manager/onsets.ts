import type { Jump } from './load.ts';

/**
 * What is known of bursts: when load came, and whether it comes back after a constant time. Periodic work (a
 * cron job, a second model at its own frame rate, a governor) is the common case on a device that does little
 * else, and an onset that is expected costs a few frames at a lower level instead of the frames that it would
 * make late.
 */
export interface Onsets {
  /** Monotonic times of recent onsets, the newest last. */
  readonly times: readonly number[];
  /** By how much load grew then, in logarithms, averaged. */
  readonly rise: number;
  readonly period: Period | undefined;
  /** Time between inferences, averaged: how exactly an onset can be told. */
  readonly paceMs: number;
  readonly lastMs: number | undefined;
}

interface Period {
  readonly ms: number;
  /** Share of onsets that were followed by another one after a period. */
  readonly trust: number;
}

const PACE_GAIN = 0.1;
/** A gap is a pause when it is this many times the pace. */
const PAUSE = 4;
const LONGEST_GAP_MS = 60_000;
const REMEMBERED = 12;
/** A smaller rise is no onset that would be worth preparing for. */
const MIN_RISE = 0.08;
/** An onset that is told by frames is off by one of them either way. */
const TOLERANCE_FRAMES = 1.5;
/** Shares of a period's trust: a frame early, in time, a frame late. */
const SPREAD: readonly number[] = [0.2, 0.65, 0.15];

export function noOnsets(): Onsets {
  return { times: [], rise: 0, period: undefined, paceMs: 0, lastMs: undefined };
}

/** Takes the pace of inferences in. */
export function observePace(onsets: Onsets, startedMs: number): Onsets {
  const gapMs = startedMs - (onsets.lastMs ?? startedMs);
  if (!(gapMs > 0)) return { ...onsets, lastMs: startedMs };
  if (onsets.paceMs === 0) return { ...onsets, paceMs: Math.min(gapMs, LONGEST_GAP_MS), lastMs: startedMs };
  // A pause is not the pace.
  const paced = Math.min(gapMs, PAUSE * onsets.paceMs, LONGEST_GAP_MS);
  return { ...onsets, paceMs: onsets.paceMs + PACE_GAIN * (paced - onsets.paceMs), lastMs: startedMs };
}

/** Takes a jump of the load in. */
export function observeJump(onsets: Onsets, { from, to, atMs }: Jump): Onsets {
  if (to - from < MIN_RISE) return onsets;
  const times = [...onsets.times, atMs].slice(-REMEMBERED);
  const rise = onsets.rise === 0 ? to - from : onsets.rise + 0.3 * (to - from - onsets.rise);
  return { ...onsets, times, rise, period: periodOf(times, TOLERANCE_FRAMES * onsets.paceMs) };
}

/** The time after which onsets have followed one another most often. */
function periodOf(times: readonly number[], toleranceMs: number): Period | undefined {
  let best: Period | undefined;
  for (const [index, time] of times.entries()) {
    for (const earlier of times.slice(0, index)) {
      const found = periodNear(time - earlier, times, toleranceMs);
      if (found.trust > (best?.trust ?? 0)) best = found;
    }
  }
  return best;
}

function periodNear(ms: number, times: readonly number[], toleranceMs: number): Period {
  const last = times.at(-1) ?? 0;
  let trials = 0;
  let hits = 0;
  let sumMs = 0;
  for (const time of times) {
    if (time + ms > last + toleranceMs) continue;
    trials += 1;
    const hit = times.find((other) => Math.abs(other - time - ms) <= toleranceMs);
    if (hit === undefined) continue;
    hits += 1;
    sumMs += hit - time;
  }
  // The pair that suggested the period is no evidence for it, and some of the others agree by chance.
  const chance = Math.min(1, (2 * toleranceMs * times.length) / Math.max(1, last - (times[0] ?? 0)));
  const agree = trials === 0 ? 0 : (hits - 1) / trials;
  return { ms: hits === 0 ? ms : sumMs / hits, trust: Math.max(0, (agree - chance) / (1 - chance)) || 0 };
}

/** Probability that load comes with an inference that starts now, given that it has not come yet. */
export function dueProbability({ times, period, paceMs }: Onsets, nowMs: number): number {
  if (period === undefined || paceMs <= 0) return 0;
  let probability = 0;
  for (const time of times) {
    const frames = Math.round((nowMs - time - period.ms) / paceMs) + 1;
    const share = SPREAD[frames];
    // What has come is not expected any more.
    if (share === undefined || hasCome(times, time + period.ms, paceMs)) continue;
    const passed = SPREAD.slice(0, frames).reduce((sum, earlier) => sum + earlier, 0);
    probability = Math.max(probability, (period.trust * share) / (1 - period.trust * passed));
  }
  return Math.min(1, probability);
}

function hasCome(times: readonly number[], dueMs: number, paceMs: number): boolean {
  return times.some((time) => Math.abs(time - dueMs) <= TOLERANCE_FRAMES * paceMs);
}
