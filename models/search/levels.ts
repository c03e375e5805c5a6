import { AppError } from '../../shared/errors.ts';

interface Point {
  readonly latencyMs: number;
  readonly accuracy: number;
}

/** The work of a choice grows with the square of this. */
const MAX_POINTS = 5_000;

/** How far outside of the front the reference point lies, as a share of each range. */
const MARGIN = 0.1;

/**
 * Chooses the `count` points of a front that together keep the most of its hypervolume, by an exact dynamic
 * programme over two objectives (Auger et al., FOGA 2009); time with count * points^2. The reference point
 * lies a tenth of each range outside of the front, so that both ends have a reason to stay.
 * @param front ascending latency, ascending accuracy
 * @returns the chosen points in their order; all of a front that has no more than `count`
 * @throws AppError `usage` for a count below 1, `invalid` for a front that is not rising or too long
 */
export function selectLevels<T extends Point>(front: readonly T[], count: number): T[] {
  if (!Number.isInteger(count) || count < 1) {
    throw new AppError('usage', `levels: their number is 1 or more, not ${count}`);
  }
  checkFront(front);
  if (front.length <= count) return [...front];
  const reference = referenceOf(front);
  const previous: Int32Array[] = [];
  let best = Float64Array.from(front, (point) => area(point, reference.accuracy, reference));
  for (let level = 1; level < count; level += 1) {
    const { value, from } = extended(front, best, reference);
    previous.push(from);
    best = value;
  }
  return traced(front, best, previous);
}

/** Hypervolume of points that do not dominate each other, against a reference point. */
export function hypervolume(front: readonly Point[], reference: Point): number {
  let sum = 0;
  let below = reference.accuracy;
  for (const point of front) {
    sum += area(point, below, reference);
    below = point.accuracy;
  }
  return sum;
}

/** The reference point that `selectLevels` uses: a tenth of each range outside of the front. */
export function referenceOf(front: readonly Point[]): Point {
  const [first, last] = [front[0], front.at(-1)];
  if (first === undefined || last === undefined) return { latencyMs: 0, accuracy: 0 };
  return {
    latencyMs: last.latencyMs + MARGIN * (last.latencyMs - first.latencyMs),
    accuracy: first.accuracy - MARGIN * (last.accuracy - first.accuracy),
  };
}

/** What a point adds to those of less accuracy, of which the best has the accuracy `below`. */
function area({ latencyMs, accuracy }: Point, below: number, reference: Point): number {
  return (reference.latencyMs - latencyMs) * (accuracy - below);
}

/** One level more: for each last point the best one before it. */
function extended(front: readonly Point[], best: Float64Array, reference: Point) {
  const value = new Float64Array(front.length).fill(Number.NEGATIVE_INFINITY);
  const from = new Int32Array(front.length).fill(-1);
  for (const [last, point] of front.entries()) {
    for (let before = 0; before < last; before += 1) {
      const total = (best[before] ?? 0) + area(point, front[before]?.accuracy ?? 0, reference);
      if (total <= (value[last] ?? 0)) continue;
      value[last] = total;
      from[last] = before;
    }
  }
  return { value, from };
}

function traced<T>(front: readonly T[], best: Float64Array, previous: readonly Int32Array[]): T[] {
  let index = best.indexOf(Math.max(...best));
  const chosen: T[] = [];
  for (let level = previous.length; level >= 0; level -= 1) {
    const point = front[index];
    if (point !== undefined) chosen.unshift(point);
    index = previous[level - 1]?.[index] ?? -1;
  }
  return chosen;
}

function checkFront(front: readonly Point[]): void {
  if (front.length > MAX_POINTS) {
    throw new AppError('invalid', `front: has ${front.length} points, more than ${MAX_POINTS}`);
  }
  const wrong = front.findIndex(({ latencyMs, accuracy }, index) => {
    const before = front[index - 1];
    const finite = Number.isFinite(latencyMs) && Number.isFinite(accuracy);
    return !finite || (before !== undefined && !(latencyMs > before.latencyMs && accuracy > before.accuracy));
  });
  if (wrong >= 0) {
    throw new AppError(
      'invalid',
      `front: point ${wrong} is not slower and more accurate than the one before`,
    );
  }
}
