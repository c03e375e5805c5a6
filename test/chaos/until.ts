import { systemClock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';

const INTERVAL_MS = 50;
/** Longer than the longest wait of a link that comes back. */
const PATIENCE_MS = 90_000;

/**
 * Asks again and again until the answer is yes.
 * @param what is waited for, for the message
 * @throws AppError `timeout` when that does not come
 */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const endMs = systemClock.monoMs() + patienceMs;
  while (!(await isSo())) {
    if (systemClock.monoMs() > endMs) {
      throw new AppError('timeout', `${what}: not within ${patienceMs / 1_000} s`);
    }
    await systemClock.sleep(INTERVAL_MS);
  }
}
