import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { NativeChild } from '../../shared/native-child.ts';
import { siblingModule } from '../../shared/package.ts';
import { untilGone } from './bounded-child.ts';
import { type ModelSet, nameOfPoint, type PointSpec, type TensorSpec } from './protocol.ts';

export interface QualifyOptions {
  readonly points: readonly PointSpec[];
  readonly input: TensorSpec;
  readonly output: TensorSpec;
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
export async function qualify({ clock, timeoutMs, signal, ...family }: QualifyOptions): Promise<void> {
  signal?.throwIfAborted();
  const child = new Qualifier(family);
  await untilGone(child, { clock, timeoutMs, signal });
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
