import type { PowerScope } from '../../shared/power/meter.ts';

/** How power is known: by a sensor, by the stated model, or not at all. */
export type PowerQuality = 'measured' | 'modelled' | 'unknown';

/** What is stated of a device without a power sensor. */
export interface EnergyModel {
  /** Power of the idle device, watts. */
  readonly idleW: number;
  /** What it draws above that when it is fully busy, watts. */
  readonly activeW: number;
}

/** Power at one moment, or on average since the moment before. */
export interface PowerPoint {
  /** Monotonic milliseconds. */
  readonly atMs: number;
  readonly watts: number;
  /** Where it comes from: energy is summed only between points of one source. */
  readonly source: string;
  readonly quality: 'measured' | 'modelled';
  readonly scope: PowerScope | undefined;
  /** Energy since the point before of the same source, where it was counted rather than sampled. */
  readonly counted?: EnergyUsed;
}

export interface EnergyUsed {
  readonly energyJ: number;
  /** Milliseconds in which it was used. */
  readonly overMs: number;
}

/**
 * Power by the model: idle watts + active watts x busy share.
 * @param busy share of the busier of processor and GPU, 0..1
 * @returns undefined where the model is no model: a power that is negative, zero or no number
 */
export function modelledWatts({ idleW, activeW }: EnergyModel, busy: number): number | undefined {
  const watts = idleW + activeW * Math.min(1, Math.max(0, busy));
  return Number.isFinite(watts) && idleW >= 0 && activeW >= 0 && watts > 0 ? watts : undefined;
}

/**
 * Energy between two moments: what was counted, else the trapezoid of sampled power, else (by the model, whose
 * share is an average over the time between) power x time. Undefined when the points are not of one source, or
 * too far apart to say what was between them.
 */
export function energyBetween(
  before: PowerPoint | undefined,
  now: PowerPoint,
  maxGapMs: number,
): EnergyUsed | undefined {
  // What was counted while another source stood in has been told already.
  if (now.counted !== undefined) {
    return before === undefined || before.source === now.source ? now.counted : undefined;
  }
  const overMs = now.atMs - (before?.atMs ?? now.atMs);
  if (before === undefined || before.source !== now.source || overMs <= 0 || overMs > maxGapMs)
    return undefined;
  const watts = now.quality === 'modelled' ? now.watts : (before.watts + now.watts) / 2;
  return { energyJ: (watts * overMs) / 1e3, overMs };
}
