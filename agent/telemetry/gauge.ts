import type { Gauge } from '../../shared/protocol/window.ts';

/** Gathers one value that holds over time until `take` closes the window and begins the next. */
export interface GaugeGatherer {
  /**
   * Takes a reading in. @param value undefined where it is not known any more
   * @param atMs monotonic milliseconds; one before the last is taken as of the last
   */
  add(value: number | undefined, atMs: number): void;
  /** What it was since the last take; undefined when it was known at no time. */
  take(nowMs: number): Gauge | undefined;
}

/**
 * Makes a gatherer of which nothing is known. A reading holds until the next one, across windows too, but no
 * longer than `holdMs`: a sensor that went silent says nothing of now.
 */
export function createGaugeGatherer(holdMs: number): GaugeGatherer {
  let value: number | undefined;
  /** From when on the value has not been counted yet, and until when it holds. */
  let fromMs = Number.NEGATIVE_INFINITY;
  let untilMs = fromMs;
  let sum = nothing();

  const countUntil = (nowMs: number): void => {
    const ms = Math.min(nowMs, untilMs) - fromMs;
    if (value !== undefined && ms > 0) {
      sum = {
        valueMs: sum.valueMs + value * ms,
        ms: sum.ms + ms,
        min: Math.min(sum.min, value),
        max: Math.max(sum.max, value),
      };
    }
    fromMs = Math.max(fromMs, nowMs);
  };
  return {
    add: (next, atMs) => {
      countUntil(atMs);
      value = next !== undefined && Number.isFinite(next) ? next : undefined;
      untilMs = fromMs + holdMs;
    },
    take: (nowMs) => {
      countUntil(nowMs);
      const { valueMs, ms, min, max } = sum;
      sum = nothing();
      // Rounding may put the mean of equal values beside them.
      return ms === 0 ? undefined : { mean: Math.min(max, Math.max(min, valueMs / ms)), min, max, ms };
    },
  };
}

function nothing() {
  return { valueMs: 0, ms: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
}
