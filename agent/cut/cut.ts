import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { NativeChild } from '../../shared/native-child.ts';
import { siblingModule } from '../../shared/package.ts';

/** One model to be cut. */
export interface Cut {
  readonly recipePath: string;
  /** Where the model is to be written; nothing lies there yet. */
  readonly modelPath: string;
  /** What the model must be. */
  readonly sha256: string;
}

/** What the child is to do, one after the other. */
export interface CutTask {
  readonly backbonePath: string;
  readonly cuts: readonly Cut[];
}

/** What the child says: that it is done with one, and how it ended. */
export type FromCutter =
  | { readonly kind: 'cut'; readonly index: number }
  | { readonly kind: 'failed'; readonly code: 'invalid' | 'system'; readonly message: string }
  | { readonly kind: 'done' };

export interface CutOptions extends CutTask {
  /** No model takes longer. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Told of each model that is done: it is whole, checked and on the disk. */
  readonly onCut?: (cut: Cut) => void;
}

/**
 * Cuts models out of a backbone, by recipes, in a process of its own with a low priority: it takes seconds and the
 * backbone's size in memory, and frames go on being answered. Each model is brought to the disk.
 * @throws AppError `invalid` when backbone or recipe are none, or what comes out is not what it must be; `timeout`
 * when one takes too long; `system` when the process is lost; the signal's reason when it aborts
 */
export async function cutModels(options: CutOptions): Promise<void> {
  const { backbonePath, cuts, timeoutMs, clock, signal, onCut } = options;
  signal.throwIfAborted();
  const seen: { verdict?: Exclude<FromCutter, { kind: 'cut' }>; heardMs: number } = {
    heardMs: clock.monoMs(),
  };
  const child = new NativeChild<FromCutter>({
    module: siblingModule(import.meta.url, 'cut-child'),
    task: { backbonePath, cuts } satisfies CutTask,
    onMessage: (message) => {
      seen.heardMs = clock.monoMs();
      if (message.kind !== 'cut') {
        seen.verdict = message;
        return;
      }
      const cut = cuts[message.index];
      if (cut !== undefined) onCut?.(cut);
    },
  });
  const ended = new AbortController();
  const watched = watch(seen, { timeoutMs, clock, signal, ended: ended.signal });
  watched.then((why) => why !== undefined && child.kill(why));
  await child.ended;
  ended.abort();
  signal.throwIfAborted();
  const overdue = await watched;
  const { verdict } = seen;
  if (verdict?.kind === 'done') return;
  if (verdict !== undefined) throw new AppError(verdict.code, verdict.message);
  const code = overdue === undefined ? 'system' : 'timeout';
  throw new AppError(code, `cutting models of ${backbonePath}: ${child.lastWords()}`);
}

interface Watch {
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly ended: AbortSignal;
}

/** A timer of Node holds no more than 24 days. */
const MAX_SLEEP_MS = 3_600_000;

/** Why the child is to be killed: silence, or somebody's wish; undefined when it had ended before. */
async function watch(
  seen: { readonly heardMs: number },
  { timeoutMs, clock, signal, ended }: Watch,
): Promise<string | undefined> {
  const stop = AbortSignal.any([signal, ended]);
  for (;;) {
    const leftMs = seen.heardMs + timeoutMs - clock.monoMs();
    if (leftMs <= 0) return `no model within ${timeoutMs} ms`;
    try {
      await clock.sleep(Math.min(leftMs, MAX_SLEEP_MS), stop);
    } catch {
      return ended.aborted ? undefined : 'it was told to stop';
    }
  }
}
