import { invariant } from '../../shared/errors.ts';
import type { Range } from './series.ts';

export interface Tick {
  readonly value: number;
  readonly text: string;
}

/** One axis of a plot: where values lie on it, and which of them are written. */
export interface Axis {
  readonly ticks: readonly Tick[];
  readonly isLog: boolean;
  /** Place of a value, 0 at the axis' lower end to 1 at its upper end. */
  readonly place: (value: number) => number;
}

/** A range that is narrower than this share of its values is one value. */
const NARROW = 1e-6;
/** Accuracies that differ by less per cent are one: no test set is large enough to tell them apart. */
const LEAST_PERCENT = 0.01;
/** Latencies that differ by more than this factor are drawn on a logarithmic axis. */
const LOG_FACTOR = 20;

/**
 * Round numbers at equal distances, 1, 2 or 5 times a power of ten, which cover a range: the first is at most
 * `low`, the last at least `high`.
 * @param most how many there may be, at least 3; there are at least 2
 */
export function niceTicks(low: number, high: number, most: number): number[] {
  invariant(Number.isFinite(low) && low <= high && Number.isFinite(high) && most >= 3, 'a range for ticks');
  const [from, to] = widened(low, high);
  const power = Math.floor(Math.log10((to - from) / (most - 1)));
  for (const factor of [1, 2, 5, 10, 20, 50]) {
    const step = factor * 10 ** power;
    // What is a multiple but for rounding is one.
    const first = Math.floor(from / step + NARROW);
    const last = Math.ceil(to / step - NARROW);
    if (last - first < most) return multiples(first, last, step);
  }
  return [from, to];
}

/**
 * Round numbers for a logarithmic axis which cover a range above 0: 1, 2 and 5 times powers of ten, or where
 * those are too many only powers of ten, or every second of them, and so on.
 */
export function logTicks(low: number, high: number, most: number): number[] {
  invariant(low > 0 && low <= high && Number.isFinite(high) && most >= 3, 'a range above 0 for ticks');
  const first = Math.floor(Math.log10(low) + NARROW);
  const last = Math.ceil(Math.log10(high) - NARROW);
  const decades = Array.from({ length: last - first + 2 }, (_, index) => first + index);
  const fine = decades.flatMap((decade) => [1, 2, 5].map((factor) => exact(factor * 10 ** decade)));
  const from = fine.findLastIndex((value) => value <= low * (1 + NARROW));
  const to = fine.findIndex((value) => value >= high * (1 - NARROW));
  const ticks = fine.slice(from, Math.max(to, from + 1) + 1);
  if (ticks.length <= most) return ticks;
  const every = Math.max(1, Math.ceil((last - first) / (most - 1)));
  const count = Math.ceil((last - first) / every) + 1;
  return Array.from({ length: Math.max(2, count) }, (_, index) => exact(10 ** (first + index * every)));
}

/**
 * An axis of accuracy in per cent, which never shows less than 0 or more than 100.
 * @param most how many ticks there may be
 */
export function accuracyAxis({ low, high }: Range, most: number): Axis {
  const margin = high - low < LEAST_PERCENT ? 1 : 0;
  const all = niceTicks(Math.max(0, low - margin), Math.min(100, high + margin), most);
  const values = all.filter((value) => value >= 0 && value <= 100);
  const step = (all[1] ?? 1) - (all[0] ?? 0);
  return linearAxis(values, step, { low: Math.max(0, all[0] ?? 0), high: Math.min(100, all.at(-1) ?? 100) });
}

/** An axis of latency in ms; logarithmic where it is told so, or else where the latencies differ much. */
export function latencyAxis({ low, high }: Range, most: number, isLog = high / low > LOG_FACTOR): Axis {
  if (isLog) {
    const values = logTicks(low, high, most);
    const from = Math.log(values[0] ?? 1);
    const to = Math.log(values.at(-1) ?? 10);
    return {
      isLog,
      ticks: values.map((value) => ({ value, text: String(value) })),
      place: (value) => (Math.log(value) - from) / (to - from),
    };
  }
  // Equal latencies are not drawn as if their last digits mattered.
  const isOne = high / low < 1.02;
  const all = niceTicks(isOne ? low * 0.8 : low, isOne ? high * 1.2 : high, most);
  const values = all.filter((value) => value >= 0);
  const step = (all[1] ?? 1) - (all[0] ?? 0);
  return linearAxis(values, step, { low: Math.max(0, all[0] ?? 0), high: all.at(-1) ?? 1 });
}

function linearAxis(values: readonly number[], step: number, { low, high }: Range): Axis {
  const digits = Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + NARROW)));
  return {
    isLog: false,
    ticks: values.map((value) => ({ value, text: value.toFixed(digits) })),
    place: (value) => (value - low) / (high - low),
  };
}

/** One value becomes a range around it. */
function widened(low: number, high: number): [number, number] {
  const greatest = Math.max(Math.abs(low), Math.abs(high));
  if (high - low > greatest * NARROW) return [low, high];
  const margin = greatest === 0 ? 1 : greatest * 0.02;
  return [low - margin, high + margin];
}

function multiples(first: number, last: number, step: number): number[] {
  return Array.from({ length: Math.max(2, last - first + 1) }, (_, index) => exact((first + index) * step));
}

/** Without the digits that only rounding made. */
function exact(value: number): number {
  return Number(value.toPrecision(12));
}
