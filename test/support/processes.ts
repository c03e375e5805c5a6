import { type ChildProcess, execFile, fork, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ENTRIES = {
  agent: fileURLToPath(new URL('../../agent/main.ts', import.meta.url)),
  controller: fileURLToPath(new URL('../../controller/main.ts', import.meta.url)),
};

export type ProgramName = keyof typeof ENTRIES;

/** A program of the fleet as a real process that a test may kill. */
export interface TestProcess {
  readonly ready: { readonly apiUrl?: string; readonly mqttUrl?: string };
  readonly child: ChildProcess;
  /** Ends it without a chance to tidy up. */
  kill9(): Promise<void>;
  /** Asks it to stop; resolves with its exit status. */
  stop(): Promise<number | null>;
}

/**
 * Starts a program from its sources and waits until it says that it is ready.
 * @param env what it gets besides the little that every program gets
 */
export async function startProcess(
  program: ProgramName,
  args: readonly string[],
  logFile: string,
  env: NodeJS.ProcessEnv = {},
): Promise<TestProcess> {
  const { child, exited } = launch(program, args, logFile, env);
  const ready = await Promise.race([
    once(child, 'message').then(([message]) => message),
    exited.then(() => undefined),
  ]);
  if (ready === undefined) {
    throw new Error(
      `${program} ${args.join(' ')} ended with ${child.exitCode}:\n${readFileSync(logFile, 'utf8').slice(-2_000)}`,
    );
  }
  return {
    ready,
    child,
    kill9: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exited;
      return child.exitCode;
    },
  };
}

/** Starts a program and kills it with -9 when the promise resolves, ready or not. */
export async function startAndKill(
  program: ProgramName,
  args: readonly string[],
  logFile: string,
  env: NodeJS.ProcessEnv,
  moment: Promise<void>,
): Promise<void> {
  const { child, exited } = launch(program, args, logFile, env);
  await Promise.race([moment, exited]);
  child.kill('SIGKILL');
  await exited;
}

function launch(program: ProgramName, args: readonly string[], logFile: string, env: NodeJS.ProcessEnv) {
  const log = openSync(logFile, 'a');
  try {
    const options = {
      stdio: ['ignore', log, log, 'ipc'] satisfies StdioOptions,
      env: { ...environment(), ...env },
    };
    const child = fork(ENTRIES[program], [...args], options);
    return { child, exited: once(child, 'exit') };
  } finally {
    closeSync(log);
  }
}

/** Runs a program to its end. */
export async function runToEnd(program: ProgramName, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const options = { env: { ...environment(), ...env } };
  try {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [ENTRIES[program], ...args],
      options,
    );
    return { status: 0, stdout, stderr };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && 'stdout' in error && 'stderr' in error)) throw error;
    return { status: error.code, stdout: String(error.stdout), stderr: String(error.stderr) };
  }
}

/** Nothing of this shell's configuration may reach the programs. */
function environment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env;
  return { ...(PATH && { PATH }), ...(HOME && { HOME }), ...(TMPDIR && { TMPDIR }) };
}
