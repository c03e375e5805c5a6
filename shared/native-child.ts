import { type ChildProcess, fork, type Serializable } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describeError } from './errors.ts';

/** Characters of the child's stderr that are kept, from its end. */
const STDERR_CHARACTERS = 4_096;

/** The child gets no secrets; the loader of GPU libraries and their caches read these. */
const PASSED_ENVIRONMENT = ['LD_LIBRARY_PATH', 'PATH', 'TMPDIR', 'HOME', 'CUDA_VISIBLE_DEVICES'];

export interface NativeChildOptions<Message> {
  /** What runs in the child: `siblingModule`. */
  readonly module: URL;
  /** Sent to the child when it starts. */
  readonly task: Serializable;
  readonly execArgv?: readonly string[];
  readonly onMessage: (message: Message) => void;
}

/** A process for native code that may crash or hang: nothing but a process of its own contains that. */
export class NativeChild<Message> {
  /** Resolves when the process is gone. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #death: string | undefined;
  #stderr = '';

  /** Starts the process. */
  constructor({ module, task, execArgv = [], onMessage }: NativeChildOptions<Message>) {
    this.#child = fork(fileURLToPath(module), {
      env: environment(),
      execArgv: [...execArgv],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.on('message', onMessage);
    this.ended = this.#follow();
    this.#child.send(task);
  }

  /** Kills the process if it still runs; `why` then is what became of it, unless something else is known. */
  kill(why: string): void {
    this.#death ??= why;
    this.#child.kill('SIGKILL');
  }

  /** What became of the process, and what it said last on its standard error; known once it has ended. */
  lastWords(): string {
    const said = this.#stderr.trim().split('\n').at(-1) ?? '';
    return `${this.#death ?? 'its process was lost'}${said === '' ? '' : `; it said: ${said}`}`;
  }

  #follow(): Promise<void> {
    const ended = Promise.withResolvers<void>();
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
