import { AppError } from '../../shared/errors.ts';
import type { Trial } from './child-trial.ts';
import type { MarkedPoint } from './marker.ts';
import type { Quarantine } from './quarantine.ts';

/** A point that did not pass its qualification, and why. */
export interface Failed {
  readonly point: MarkedPoint;
  readonly reason: string;
}

/**
 * Tries the points of a family that is new to this device. One whose process dies is quarantined; one that
 * says no (it cannot be loaded, it answers wrongly) is only left out this time.
 * @param attempt tries points in a process of its own
 * @returns the points that failed
 * @throws AppError `invalid` when not one passed
 */
export async function qualifyPoints(
  points: readonly MarkedPoint[],
  quarantine: Quarantine,
  attempt: (points: readonly MarkedPoint[]) => Promise<Trial>,
): Promise<readonly Failed[]> {
  const together = await attempt(points);
  if (together.outcome === 'passed') return [];
  const failed: Failed[] = [];
  // Only now one by one: a process for each takes several times as long.
  for (const point of points) {
    const trial = points.length === 1 ? together : await attempt([point]);
    if (trial.outcome === 'passed') continue;
    failed.push({ point, reason: trial.reason });
    if (trial.outcome === 'died') quarantine.put(point, `in its qualification: ${trial.reason}`);
  }
  if (failed.length < points.length) return failed;
  throw new AppError('invalid', `no level can be used; the first: ${failed[0]?.reason ?? 'there is none'}`);
}
