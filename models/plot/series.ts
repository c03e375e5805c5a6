import { AppError } from '../../shared/errors.ts';

export const MARKERS = ['circle', 'square', 'diamond', 'triangle'] as const;
export type Marker = (typeof MARKERS)[number];

/** One network: how long it takes and how often it is right. */
export interface PlotPoint {
  readonly latencyMs: number;
  /** Top-1, 0..1. */
  readonly accuracy: number;
  /** Of the accuracy; drawn as a bar of one standard error to either side. */
  readonly standardError?: number;
  /** Stands beside the point where there is room. */
  readonly label?: string;
  /** Where it is not the series' own. */
  readonly marker?: Marker;
}

/** Points that belong together. */
export interface PlotSeries {
  readonly name: string;
  readonly points: readonly PlotPoint[];
  /**
   * `front`: in colour, labelled, with a line through the points that no other of the series dominates.
   * `samples`: small and grey, what else was evaluated.
   */
  readonly role: 'front' | 'samples';
  /**
   * `step` (default): the accuracy that a latency budget buys. `straight`: from point to point. `none`.
   */
  readonly line?: 'step' | 'straight' | 'none';
  readonly marker?: Marker;
}

/** A range with its lower end first. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** Of all points: latencies in ms, and accuracies in per cent with their bars. */
export interface Extent {
  readonly latencyMs: Range;
  readonly accuracyPercent: Range;
}

/** Latencies above eleven days are no latencies. */
const MAX_LATENCY_MS = 1e9;

/**
 * Checks what is to be drawn and gives the ranges of it.
 * @throws AppError `invalid` where there is no point, or a point that cannot be drawn, naming it
 */
export function extentOf(series: readonly PlotSeries[]): Extent {
  const latencyMs = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };
  const accuracyPercent = { ...latencyMs };
  for (const { name, points } of series) {
    for (const [index, point] of points.entries()) {
      checkPoint(point, `series "${name}", point ${index}`);
      const error = 100 * (point.standardError ?? 0);
      include(latencyMs, point.latencyMs, 0);
      include(accuracyPercent, 100 * point.accuracy, error);
    }
  }
  if (!(latencyMs.low <= latencyMs.high)) throw new AppError('invalid', 'nothing to plot: there is no point');
  return { latencyMs, accuracyPercent };
}

/**
 * Text from a file as one short line: no control characters, nothing that turns the direction of what follows,
 * cut with an ellipsis after `most` characters.
 */
export function shortened(text: string, most: number): string {
  const line = text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .replaceAll(/[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/gu, '')
    .trim();
  // A character may be two units; what is cut away may be long, and is not taken apart.
  const characters = Array.from(line.slice(0, 2 * most + 2));
  return characters.length <= most ? characters.join('') : `${characters.slice(0, most - 1).join('')}…`;
}

function checkPoint({ latencyMs, accuracy, standardError = 0 }: PlotPoint, what: string): void {
  if (!(latencyMs > 0 && latencyMs <= MAX_LATENCY_MS)) {
    throw new AppError('invalid', `${what}: latency is ${latencyMs} ms, expected above 0 and at most 1e9`);
  }
  if (!(accuracy >= 0 && accuracy <= 1)) {
    throw new AppError('invalid', `${what}: accuracy is ${accuracy}, expected 0..1`);
  }
  if (!(standardError >= 0 && standardError <= 1)) {
    throw new AppError('invalid', `${what}: standard error is ${standardError}, expected 0..1`);
  }
}

function include(range: { low: number; high: number }, value: number, error: number): void {
  range.low = Math.min(range.low, value - error);
  range.high = Math.max(range.high, value + error);
}
