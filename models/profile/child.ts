import type { Clock } from '../../shared/clock.ts';
import { NativeChild } from '../../shared/native-child.ts';
import { siblingModule } from '../../shared/package.ts';
import type { FromProfiler, ProfileTask } from './protocol.ts';

export interface ChildOptions {
  readonly clock: Clock;
  /** A child that says nothing for so long hangs, and is killed. */
  readonly silenceMs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** How a task ended: what the child said, or what became of it. */
export type Outcome =
  | Exclude<FromProfiler, { kind: 'progress' }>
  | { readonly kind: 'lost'; readonly message: string };

/**
 * Runs a task in a process of its own. When this settles the process is gone.
 * @throws the signal's reason when it aborts
 */
export async function runInChild(task: ProfileTask, options: ChildOptions): Promise<Outcome> {
  const { signal } = options;
  signal?.throwIfAborted();
  const profiler = new Profiler(task, options);
  const ended = new AbortController();
  const watching = profiler.watch(
    AbortSignal.any(signal === undefined ? [ended.signal] : [ended.signal, signal]),
  );
  try {
    await profiler.ended;
  } finally {
    ended.abort();
    await watching;
  }
  signal?.throwIfAborted();
  return profiler.outcome();
}

/** One child process and what is known of it. */
class Profiler {
  readonly #options: ChildOptions;
  readonly #child: NativeChild<FromProfiler>;
  #heardMs: number;
  #outcome: Outcome | undefined;

  constructor(task: ProfileTask, options: ChildOptions) {
    this.#options = options;
    this.#heardMs = options.clock.monoMs();
    this.#child = new NativeChild({
      module: siblingModule(import.meta.url, 'profile-child'),
      task,
      execArgv: ['--expose-gc'],
      onMessage: (message) => this.#receive(message),
    });
  }

  get ended(): Promise<void> {
    return this.#child.ended;
  }

  /** Kills the process when it has been silent for too long, or `stop` aborts. */
  async watch(stop: AbortSignal): Promise<void> {
    const { clock, silenceMs } = this.#options;
    try {
      for (;;) {
        const leftMs = this.#heardMs + silenceMs - clock.monoMs();
        if (leftMs <= 0) break;
        await clock.sleep(leftMs, stop);
      }
      this.#child.kill(`it said nothing for ${silenceMs} ms, it hangs`);
    } catch {
      this.#child.kill('it was told to stop');
    }
  }

  outcome(): Outcome {
    return this.#outcome ?? { kind: 'lost', message: this.#child.lastWords() };
  }

  #receive(message: FromProfiler): void {
    this.#heardMs = this.#options.clock.monoMs();
    if (message.kind === 'progress') this.#options.onProgress?.(message.text);
    else this.#outcome = message;
  }
}
