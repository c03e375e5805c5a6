import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
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

/** Characters of the child's stderr that are kept, from its end. */
const STDERR_CHARACTERS = 4_096;

/** The child gets no secrets; the loader of GPU libraries reads these. */
const PASSED_ENVIRONMENT = ['LD_LIBRARY_PATH', 'PATH', 'TMPDIR'];

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
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  readonly #models: ModelSet;
  readonly #child: ChildProcess;
  #point = 0;
  #verdict: Exclude<FromQualifier, { kind: 'turning-to' }> | undefined;
  #death: string | undefined;
  #stderr = '';

  constructor(models: ModelSet) {
    this.#models = models;
    this.#child = fork(fileURLToPath(siblingModule(import.meta.url, 'qualify-child')), {
      env: environment(),
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.on('message', (message: FromQualifier) => {
      if (message.kind === 'turning-to') this.#point = message.point;
      else this.#verdict = message;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS);
    });
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
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
    this.#child.send(models);
  }

  /** Kills the process if it still runs; `why` then is the problem, unless another is known. */
  kill(why: string): void {
    this.#death ??= why;
    this.#child.kill('SIGKILL');
  }

  /** What is wrong with the family, if anything; known once the process has ended. */
  problem(): string | undefined {
    if (this.#verdict?.kind === 'passed') return undefined;
    if (this.#verdict?.kind === 'failed') return this.#verdict.message;
    const point = this.#models.points[this.#point];
    const what = point === undefined ? 'the family' : nameOfPoint(point);
    const said = this.#stderr.trim().split('\n').at(-1) ?? '';
    return `${what}: ${this.#death ?? 'its process was lost'}${said === '' ? '' : `; it said: ${said}`}`;
  }
}

function environment(): NodeJS.ProcessEnv {
  const entries = PASSED_ENVIRONMENT.map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}
