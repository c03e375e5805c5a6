import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { qualify } from '../engine/qualify.ts';
import type { MarkedPoint } from './marker.ts';

export interface ChildTrialOptions {
  readonly input: { readonly name: string; readonly shape: readonly number[] };
  readonly output: { readonly name: string; readonly shape: readonly number[] };
  /** For all points together. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** How a trial in a process of its own ended: `died` when native code crashed or hung, `unfit` when it said no. */
export type Trial =
  | { readonly outcome: 'passed' }
  | { readonly outcome: 'died' | 'unfit'; readonly reason: string };

/** What the qualification says of a process that did not come to its own end. */
const DEATH = /: (its process crashed with SIG|no end within \d+ ms, it hangs)/;

/**
 * Loads and runs points in a process of its own, where native code may crash or hang without harm.
 * @throws whatever is not a verdict on the points, such as the signal's reason when it aborts
 */
export async function tryInChild(points: readonly MarkedPoint[], options: ChildTrialOptions): Promise<Trial> {
  try {
    const { signal, ...rest } = options;
    await qualify({ ...rest, points, ...(signal === undefined ? {} : { signal }) });
    return { outcome: 'passed' };
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'invalid')) throw error;
    return { outcome: DEATH.test(error.message) ? 'died' : 'unfit', reason: error.message };
  }
}
