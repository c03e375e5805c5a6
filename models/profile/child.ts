import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
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

/** Characters of the child's stderr that are kept, from its end. */
const STDERR_CHARACTERS = 4_096;

/** The child gets no secrets; the loader of GPU libraries and their caches read these. */
const PASSED_ENVIRONMENT = ['LD_LIBRARY_PATH', 'PATH', 'TMPDIR', 'HOME', 'CUDA_VISIBLE_DEVICES'];

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
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  readonly #options: ChildOptions;
  readonly #child: ChildProcess;
  #heardMs: number;
  #outcome: Outcome | undefined;
  #death: string | undefined;
  #stderr = '';

  constructor(task: ProfileTask, options: ChildOptions) {
    this.#options = options;
    this.#heardMs = options.clock.monoMs();
    this.#child = fork(fileURLToPath(siblingModule(import.meta.url, 'profile-child')), {
      env: environment(),
      execArgv: ['--expose-gc'],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.ended = this.#follow();
    this.#child.send(task);
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
      this.#death ??= `it said nothing for ${silenceMs} ms, it hangs`;
    } catch {
      this.#death ??= 'it was told to stop';
    }
    this.#child.kill('SIGKILL');
  }

  outcome(): Outcome {
    if (this.#outcome !== undefined) return this.#outcome;
    const said = this.#stderr.trim().split('\n').at(-1) ?? '';
    const message = `${this.#death ?? 'its process was lost'}${said === '' ? '' : `; it said: ${said}`}`;
    return { kind: 'lost', message };
  }

  #follow(): Promise<void> {
    const ended = Promise.withResolvers<void>();
    this.#child.on('message', (message: FromProfiler) => {
      this.#heardMs = this.#options.clock.monoMs();
      if (message.kind === 'progress') this.#options.onProgress?.(message.text);
      else this.#outcome = message;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS);
    });
    this.#child.on('error', (cause) => {
      this.#death ??= `its process failed: ${describeError(cause)}`;
      // One that was never started does not close either.
      if (this.#child.pid === undefined) ended.resolve();
    });
    this.#child.on('close', (code, signal) => {
      this.#death ??=
        signal === null ? `its process ended with exit code ${code}` : `its process crashed with ${signal}`;
      ended.resolve();
    });
    return ended.promise;
  }
}

function environment(): NodeJS.ProcessEnv {
  const entries = PASSED_ENVIRONMENT.map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
