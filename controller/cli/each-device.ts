import { AppError, describeError, type ErrorCode } from '../../shared/errors.ts';

/** Failures that would be the same for every other device. */
const FATAL: readonly ErrorCode[] = ['unreachable', 'unauthorized', 'usage'];

/**
 * Does something for each device, in order, and goes on where one fails.
 * @param deps `note` hears of each failure, `onDone` gets the results of the devices that succeeded
 * @throws AppError the failure itself for one device; `partial` where some succeeded and some did not
 */
export async function eachDevice<R>(
  named: readonly string[],
  work: (id: string) => Promise<R>,
  deps: { readonly note: (line: string) => void; readonly onDone: (results: R[]) => void },
): Promise<void> {
  const ids = new Set(named);
  const results: R[] = [];
  const failures: AppError[] = [];
  try {
    for (const id of ids) {
      const outcome = await attempt(id, work);
      if (!(outcome instanceof AppError)) {
        results.push(outcome.result);
        continue;
      }
      failures.push(outcome);
      if (ids.size > 1) deps.note(`${id}: ${describeError(outcome)}`);
    }
  } finally {
    // Also before a fatal failure goes on: what was done already must not go unsaid.
    if (results.length > 0) deps.onDone(results);
  }
  const [first] = failures;
  if (first === undefined) return;
  if (ids.size === 1) throw first;
  const code = results.length > 0 ? 'partial' : first.code;
  throw new AppError(code, `failed for ${failures.length} of ${ids.size} devices`);
}

async function attempt<R>(id: string, work: (id: string) => Promise<R>): Promise<{ result: R } | AppError> {
  try {
    return { result: await work(id) };
  } catch (error) {
    if (error instanceof AppError && !FATAL.includes(error.code)) return error;
    throw error;
  }
}
