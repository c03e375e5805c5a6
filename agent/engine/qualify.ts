import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { NativeChild } from '../../shared/native-child.ts';
import { siblingModule } from '../../shared/package.ts';
import { type LevelSpec, type ModelSet, nameOfPoint, type TensorSpec } from './protocol.ts';

export interface QualifyOptions {
  readonly points: readonly LevelSpec[];
  readonly input: TensorSpec;
  readonly output: TensorSpec;
  /** Intra-op threads of each session, default 1: as it will serve. */
  readonly threads?: number;
  /** For the whole family. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** What the child says: which point it turns to, and how it ended. */
export type FromQualifier =
  | { readonly kind: 'turning-to'; readonly point: number }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'passed' };

/**
 * Loads and runs every model once in a process of its own, where native code may crash or hang without harm.
 * When this settles the process is gone.
 * @throws AppError `invalid` naming the level and what happened: the load error, a wrong answer, the signal
 * of a crash, no end within `timeoutMs`; the signal's reason when it aborts
 */
export async function qualify({
  threads = 1,
  clock,
  timeoutMs,
  signal,
  ...family
}: QualifyOptions): Promise<void> {
  signal?.throwIfAborted();
  const child = new Qualifier({ ...family, threads });
  const settled = new AbortController();
  const stop = AbortSignal.any(signal === undefined ? [settled.signal] : [settled.signal, signal]);
  const overdue = clock.sleep(timeoutMs, stop).then(
    () => child.kill(`no end within ${timeoutMs} ms, it hangs`),
    () => child.kill('it was told to stop'),
  );
  try {
    await child.ended;
  } finally {
    settled.abort();
    await overdue;
  }
  signal?.throwIfAborted();
  const problem = child.problem();
  if (problem !== undefined) throw new AppError('invalid', problem);
}

/** One child process and what is known of it. */
class Qualifier {
  readonly #models: ModelSet;
  readonly #child: NativeChild<FromQualifier>;
  #point = 0;
  #verdict: Exclude<FromQualifier, { kind: 'turning-to' }> | undefined;

  constructor(models: ModelSet) {
    this.#models = models;
    this.#child = new NativeChild({
      module: siblingModule(import.meta.url, 'qualify-child'),
      task: models,
      onMessage: (message) => {
        if (message.kind === 'turning-to') this.#point = message.point;
        else this.#verdict = message;
      },
    });
  }

  get ended(): Promise<void> {
    return this.#child.ended;
  }

  kill(why: string): void {
    this.#child.kill(why);
  }

  /** What is wrong with the family, if anything; known once the process has ended. */
  problem(): string | undefined {
    if (this.#verdict?.kind === 'passed') return undefined;
    if (this.#verdict?.kind === 'failed') return this.#verdict.message;
    const point = this.#models.points[this.#point];
    const what = point === undefined ? 'the family' : nameOfPoint(point);
    return `${what}: ${this.#child.lastWords()}`;
  }
}
