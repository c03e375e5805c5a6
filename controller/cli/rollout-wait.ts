import { AppError, describeError } from '../../shared/errors.ts';
import { formatDurationMs } from '../../shared/units.ts';
import type { RolloutDetail } from '../api/rollout-schemas.ts';
import type { Cli } from './context.ts';
import type { RolloutApi } from './rollout-api.ts';
import { failuresOf, formatCounts, formatProgress, progressKey } from './rollout-view.ts';

const POLL_MS = 1_000;
/** To the begin of the line, which is cleared. */
const AFRESH = '\r\u001b[2K';

/** Shows a line that changes: in its own place on a terminal, line by line elsewhere. */
export interface ProgressLine {
  /** @param key elsewhere than on a terminal there is a line for every new one of it */
  show(line: string, key: string): void;
  /** Leaves the last line as it is. */
  end(): void;
}

/** Where a person may watch, such as standard error. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** @param note takes lines where the stream is no terminal */
export function progressLine(stream: ProgressStream, note: Cli['note']): ProgressLine {
  let lastKey: string | undefined;
  return {
    show: (line, key) => {
      // One column less: a terminal may begin a new line after the last one.
      if (stream.isTTY === true) stream.write(`${AFRESH}${line.slice(0, (stream.columns ?? 80) - 1)}`);
      else if (key !== lastKey) note(line);
      lastKey = key;
    },
    end: () => {
      if (stream.isTTY === true && lastKey !== undefined) stream.write('\n');
    },
  };
}

export interface Waiting {
  readonly timeoutMs: number | undefined;
  readonly progress: ProgressLine;
}

/**
 * Waits until nothing of a rollout is under way; of one that was ended before its time, until those who can have gone
 * back. A controller that is away for a while is waited for too.
 * @throws AppError `timeout` when it takes too long; whatever `checkOutcome` throws
 */
export async function waitForRollout(
  cli: Pick<Cli, 'clock'>,
  api: Pick<RolloutApi, 'show'>,
  [id, { timeoutMs, progress }]: readonly [string, Waiting],
): Promise<RolloutDetail> {
  const startedMs = cli.clock.monoMs();
  try {
    for (;;) {
      const rollout = await look(api, id, progress);
      if (rollout !== undefined) {
        progress.show(formatProgress(rollout), progressKey(rollout));
        if (isSettled(rollout)) return rollout;
      }
      if (timeoutMs !== undefined && cli.clock.monoMs() - startedMs >= timeoutMs) {
        const after = formatDurationMs(timeoutMs);
        throw new AppError(
          'timeout',
          `rollout '${id}' is not done after ${after}; it goes on: rollout status ${id}`,
        );
      }
      await cli.clock.sleep(POLL_MS);
    }
  } finally {
    progress.end();
  }
}

async function look(
  api: Pick<RolloutApi, 'show'>,
  id: string,
  progress: ProgressLine,
): Promise<RolloutDetail | undefined> {
  try {
    return await api.show(id);
  } catch (error) {
    if (!isAway(error)) throw error;
    progress.show(describeError(error), error.code);
    return undefined;
  }
}

/** The controller is started anew, or the network is gone: that passes, and the rollout goes on meanwhile. */
export function isAway(error: unknown): error is AppError {
  return error instanceof AppError && (error.code === 'unreachable' || error.code === 'timeout');
}

function isSettled({ done, state, devices }: RolloutDetail): boolean {
  if (done) return true;
  if (state !== 'aborting' && state !== 'undoing') return false;
  const isGoing = (revert: string | undefined): boolean => revert === 'waiting' || revert === 'ordered';
  return !devices.some(({ online, revert }) => online && isGoing(revert?.state));
}

/**
 * Whether a rollout came out well.
 * @throws AppError `aborted` when it was ended before its time, `partial` when devices failed
 */
export function checkOutcome(rollout: RolloutDetail): void {
  const { id, state, reason } = rollout;
  if (state !== 'completed' && state !== 'running') {
    throw new AppError('aborted', `rollout '${id}' is ${state}${reason === undefined ? '' : `: ${reason}`}`);
  }
  if (failuresOf(rollout) > 0) throw new AppError('partial', `rollout '${id}': ${formatCounts(rollout)}`);
}
