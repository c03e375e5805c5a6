import type { Manifest } from '../../shared/family/manifest.ts';
import type { Random } from '../../shared/random.ts';
import type { OperatingPoint } from '../runtime/points.ts';

/** What a core of a small board does in a millisecond, where a family says nothing but its operations. */
const MACS_PER_MS = 2e6;
/** Spread of one level's latencies, as a standard deviation of their logarithm. */
const SPREAD = 0.08;
/** A level is chosen with so much room, so that few of its latencies miss the budget. */
const ROOM = 1.25;

/** The levels of a family as operating points, with the latency around which theirs are drawn. */
export function drawnPoints({ levels }: Pick<Manifest, 'levels'>): OperatingPoint[] {
  return levels.map(({ accuracy, latencyMs, macs }, level) => ({
    pe: 'cpu',
    level,
    accuracy,
    latencyMs: latencyMs ?? macs / MACS_PER_MS,
  }));
}

/**
 * The most accurate level that keeps the budget with some room; without a budget the most accurate one, and the
 * quickest where none keeps it.
 */
export function choosePoint(
  points: readonly OperatingPoint[],
  budgetMs: number | undefined,
): OperatingPoint | undefined {
  const limitMs = (budgetMs ?? Number.POSITIVE_INFINITY) / ROOM;
  const within = points.filter(({ latencyMs }) => latencyMs <= limitMs);
  if (within.length > 0) return within.reduce((best, each) => (each.accuracy > best.accuracy ? each : best));
  return points.toSorted((one, other) => one.latencyMs - other.latencyMs)[0];
}

/** An answer that nobody computed. */
export interface DrawnAnswer {
  readonly latencyMs: number;
  readonly correct: boolean;
  /** 0..1. */
  readonly confidence: number;
}

const RESOLUTION = 2 ** 20;

/** Draws one answer of a level: as often right as the family says, as quick as it says, give or take. */
export function drawAnswer({ latencyMs, accuracy }: OperatingPoint, random: Random): DrawnAnswer {
  const correct = random.below(RESOLUTION) / RESOLUTION < accuracy;
  const share = random.below(RESOLUTION) / RESOLUTION;
  return {
    latencyMs: latencyMs * Math.exp(SPREAD * random.normal()),
    correct,
    confidence: correct ? 1 - share / 5 : 0.4 + share / 2,
  };
}
