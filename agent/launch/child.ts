import { type ChildProcess, fork, type Serializable } from 'node:child_process';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';

/** The agent has 10 s for its end; what hangs longer is killed. */
const STOP_MS = 20_000;

export interface ChildOptions {
  /** The program's entry. */
  readonly main: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly onMessage: (message: unknown) => void;
  /** It is gone; called once. */
  readonly onEnded: (reason: string) => void;
}

/** A program that runs as a process of its own, with our standard streams and a channel between us. */
export interface ProgramProcess {
  readonly pid: number | undefined;
  send(message: Serializable): void;
  /** Asks it to stop, and kills it when it does not. Again does nothing. */
  stop(): void;
}

/** Starts a program. */
export function startProgram({ main, args, env, clock, onMessage, onEnded }: ChildOptions): ProgramProcess {
  // A group of its own: what a terminal sends to all processes comes to it through us, once.
  const child = fork(main, [...args], {
    env,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    detached: true,
  });
  const ended = new AbortController();
  const end = (reason: string): void => {
    if (ended.signal.aborted) return;
    ended.abort();
    onEnded(reason);
  };
  child.on('message', onMessage);
  child.on('exit', (code, signal) => end(signal === null ? `exit status ${code}` : `killed by ${signal}`));
  child.on('error', (error) => {
    // One that was never started does not exit either.
    if (child.pid === undefined) end(`it cannot be started: ${describeError(error)}`);
  });
  let isStopping = false;
  return {
    pid: child.pid,
    send: (message) => {
      if (child.connected) child.send(message, () => undefined);
    },
    stop: () => {
      if (isStopping) return;
      isStopping = true;
      stopProcess(child, clock, ended.signal);
    },
  };
}

function stopProcess(child: ChildProcess, clock: Clock, ended: AbortSignal): void {
  child.kill('SIGTERM');
  clock.sleep(STOP_MS, ended).then(
    () => child.kill('SIGKILL'),
    () => undefined,
  );
}
