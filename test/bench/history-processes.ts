import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { siblingModule } from '../../shared/package.ts';

/** What the processes of this bench say, by the kind of the message. */
export interface Answers {
  /** A program of the fleet runs. */
  readonly ready: { readonly mqttUrl: string };
  /** The generator has made its messages. */
  readonly prepared: { readonly bytes: number };
  /** A run of the generator ended: windows that were acknowledged, per second. */
  readonly ran: { readonly perS: number };
  /** The subscriber hears everything. */
  readonly listens: object;
  /** A bare publisher has begun, or a bare subscriber has everything: when, on the clock of the machine. */
  readonly moment: { readonly monoMs: number };
  /** How long the main thread was held up at most since the probe was last asked. */
  readonly held: { readonly maxMs: number };
}

/** A process of this bench, or one of the fleet's programs. */
export interface BenchProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Waits for a message of this kind. */
  heard<K extends keyof Answers>(type: K): Promise<Answers[K]>;
  /** Sends a message and waits for its answer. */
  ask<K extends keyof Answers, M extends { readonly type: string } = { readonly type: string }>(
    message: M,
    answer: K,
  ): Promise<Answers[K]>;
}

/** Whoever does not answer for this long does not any more. */
const ANSWER_MS = 120_000;

export interface BenchProgram {
  /** A module of this folder, or the controller's program. */
  readonly module: 'controller' | `history-${string}` | `rollout-${string}`;
  readonly args?: readonly string[];
  /** A module of this folder that runs before it. */
  readonly preload?: `history-${string}`;
}

/** Starts a program as a process of its own; disposing of it asks it to stop, and waits. */
export function startBenchProcess({ module, args = [], preload }: BenchProgram): BenchProcess {
  const own = (name: string): URL => siblingModule(import.meta.url, name);
  const url = module === 'controller' ? new URL('../../controller/main.ts', import.meta.url) : own(module);
  const { PATH, HOME, TMPDIR } = process.env;
  const child = fork(fileURLToPath(url), [...args], {
    execArgv: preload === undefined ? [] : [`--import=${own(preload).href}`],
    // The greeting is for people.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...(PATH && { PATH }), ...(HOME && { HOME }), ...(TMPDIR && { TMPDIR }) },
  });
  const exited = once(child, 'exit');
  const heard: BenchProcess['heard'] = async (type) => {
    const waiting = new AbortController();
    const signal = AbortSignal.any([waiting.signal, AbortSignal.timeout(ANSWER_MS)]);
    try {
      return await Promise.race([answerOf(child, type, signal), failureOf(exited, `${module}: no ${type}`)]);
    } finally {
      waiting.abort();
    }
  };
  return {
    child,
    heard,
    ask: async (message, answer) => {
      const answered = heard(answer);
      child.send(message);
      return await answered;
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exited;
    },
  };
}

function answerOf<K extends keyof Answers>(
  child: ChildProcess,
  type: K,
  signal: AbortSignal,
): Promise<Answers[K]> {
  const { promise, resolve, reject } = Promise.withResolvers<Answers[K]>();
  const onMessage = (message: unknown): void => {
    if (isOf(message, type)) resolve(message);
  };
  child.on('message', onMessage);
  signal.addEventListener('abort', () => {
    child.off('message', onMessage);
    reject(signal.reason);
  });
  return promise;
}

function isOf<K extends keyof Answers>(message: unknown, type: K): message is Answers[K] {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === type;
}

async function failureOf(exited: Promise<unknown[]>, what: string): Promise<never> {
  const [code, signal] = await exited;
  throw new Error(`${what}, it ended with ${String(code ?? signal)}`);
}
