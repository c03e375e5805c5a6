import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { BackoffPolicy, Random } from '../../shared/backoff.ts';
import { systemClock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { makeStateFolder } from '../../shared/files.ts';
import { packageRoot, siblingModule } from '../../shared/package.ts';
import { stopSignal, tellParent } from '../../shared/program.ts';
import { AGENT_ENTRY } from '../../shared/release/agent-entry.ts';
import { LAUNCHED_BASE, LAUNCHED_PROGRAM, LAUNCHED_STATE } from '../slots/messages.ts';
import { type Slot, slotFolder } from '../slots/places.ts';
import { type ProgramProcess, startProgram } from './child.ts';
import { runLauncher, type StartOptions } from './launcher.ts';
import { awaitOrphans, lockLauncher } from './orphans.ts';

export interface LaunchGiven {
  readonly env: NodeJS.ProcessEnv;
  /** Everything after `launch`, as it was typed: it is for the agent. */
  readonly args: readonly string[];
  /** The folder where nobody names one. */
  readonly defaultState: string;
  readonly random: Random;
}

/**
 * Adds `launch` to the agent's program. Its flags are those of `run`; only the state folder is read here: a program
 * that came later may know more of them than the one installed by hand, which the launcher is part of.
 */
export function addLaunch(program: Command, given: LaunchGiven): void {
  program
    .command('launch')
    .description(
      'Run the agent so that its program can be replaced from afar, and comes back when that fails.',
    )
    .allowUnknownOption()
    .allowExcessArguments()
    .option('--config <file>', 'configuration file, JSON or YAML (env: OFA_AGENT_CONFIG)')
    .option('--state <dir>', 'folder of the state (env: OFA_AGENT_STATE); all other flags are those of run')
    .addHelpText('after', '\nExample:\n  $ ofa-agent launch --config /etc/ofa-fleet/agent.yaml')
    .action(async (flags: { readonly config?: string; readonly state?: string }) =>
      launch({ ...given, state: await launchState(flags, given), base: ownProgram() }),
    );
}

/**
 * The state folder, by the rule of all of the configuration: flag, environment, file, default.
 * @throws AppError `config` when the file cannot be read
 */
export async function launchState(
  { config, state }: { readonly config?: string; readonly state?: string },
  { env, defaultState }: Pick<LaunchGiven, 'env' | 'defaultState'>,
): Promise<string> {
  const path = config ?? env['OFA_AGENT_CONFIG'];
  const filed = path === undefined || path === '' ? undefined : await stateOfFile(path);
  return state ?? env['OFA_AGENT_STATE'] ?? filed ?? defaultState;
}

async function stateOfFile(path: string): Promise<string | undefined> {
  try {
    const { parse } = await import('yaml');
    // JSON is YAML too.
    const file: unknown = parse(readFileSync(path, 'utf8'));
    const state = fieldOf(file, 'state');
    const dir = fieldOf(state, 'dir');
    return typeof dir === 'string' ? dir : undefined;
  } catch (cause) {
    throw new AppError('config', `${path}: ${describeError(cause)}`, { cause });
  }
}

function ownProgram(): LaunchOptions['base'] {
  return { root: packageRoot(), main: fileURLToPath(siblingModule(import.meta.url, '../main')) };
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

export interface LaunchOptions {
  /** The state folder; it is made when it is not there. */
  readonly state: string;
  readonly env: NodeJS.ProcessEnv;
  /** For the program, after `run`. */
  readonly args: readonly string[];
  /** The program that was installed by hand: its folder and its entry. */
  readonly base: { readonly root: string; readonly main: string };
  readonly random: Random;
  readonly policy?: BackoffPolicy;
}

/**
 * Launches programs until this process is told to stop.
 * @throws AppError `config` when the state folder cannot be made, `conflict` when another launcher runs there
 */
export async function launch({ state, env, args, base, random, policy }: LaunchOptions): Promise<void> {
  makeStateFolder(state, 0o750);
  const stateDir = realpathSync(state);
  await using _lock = await lockLauncher(stateDir);
  const stopped = new AbortController();
  void stopSignal().then((cause) => {
    say(`${cause}: stopping`);
    stopped.abort();
  });
  await awaitOrphans(stateDir, systemClock, say);
  const ownEnv = { ...env, [LAUNCHED_STATE]: stateDir, [LAUNCHED_BASE]: base.root };
  const mainOf = (slot: Slot): string =>
    slot === null ? base.main : join(slotFolder(stateDir, slot), AGENT_ENTRY);
  const start = (slot: Slot, options: StartOptions): ProgramProcess =>
    startProgram({
      ...options,
      main: mainOf(slot),
      args: ['run', ...args],
      env: { ...ownEnv, [LAUNCHED_PROGRAM]: slot ?? '' },
    });
  const onReady = (): void => tellParent({ type: 'ready' });
  const given = { stateDir, base: identityOf(base.root), start, onReady, say };
  const deps = { ...given, clock: systemClock, random };
  await runLauncher(policy === undefined ? deps : { ...deps, policy }, stopped.signal);
}

/** Of the launcher itself; its own log is too small to be a program's. */
function say(text: string): void {
  process.stderr.write(`ofa-agent launch: ${text}\n`);
}

/** Changes when another version is installed, or the same one built anew. */
function identityOf(root: string): string {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package.json')));
  const stamp = join(root, 'dist', '.ofa-built');
  if (existsSync(stamp)) hash.update(readFileSync(stamp));
  return hash.digest('hex');
}
