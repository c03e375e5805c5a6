import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { ProgramNeeds } from '../../shared/release/program-file.ts';
import { type Parser, parserOf } from '../../shared/schema.ts';
import { type LaunchState, readLaunchState } from './launch-state.ts';
import {
  type AgentMessage,
  LAUNCHED_BASE,
  LAUNCHED_PROGRAM,
  type LauncherAnswer,
  LauncherAnswerSchema,
} from './messages.ts';
import { programsFolder, type Slot } from './places.ts';
import { type StageDeps, stageProgram } from './stage.ts';

export interface ProgramTrial {
  /** From when it is ready, it has so long (and a margin) to commit. */
  readonly soakMs: number;
  /** From its start, it has so long to become ready; 60 s without it. */
  readonly readyMs?: number;
  /** Ends the waiting: the agent stops, as it is told to once the launcher has agreed. */
  readonly signal?: AbortSignal;
}

/** The agent's own program: what runs, and how another one takes its place. */
export interface ProgramHost {
  /** SHA-256 of the program that runs; undefined: the one that was installed by hand. */
  readonly running: string | undefined;
  /** The one that was committed before; undefined: the one that was installed by hand. */
  readonly previous: string | undefined;
  /**
   * Unpacks a program and checks that it starts; nothing has changed for what runs.
   * @throws AppError `invalid`, `not-found`, `timeout`, `system`; the signal's reason
   */
  stage(
    blob: { readonly path: string; readonly sha256: string },
    needs: ProgramNeeds,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Lets the launcher end this process, in good order, and start that program on trial; undefined: the one that was
   * installed by hand. It never resolves.
   * @throws AppError `conflict` when the launcher refuses, `timeout` when it does not answer; the signal's reason
   */
  switchTo(sha256: string | undefined, trial: ProgramTrial): Promise<never>;
  /**
   * The program that runs has proven itself; the launcher has stored it when this resolves. Again does no harm.
   * @throws AppError `conflict`, `timeout`
   */
  commit(): Promise<void>;
  /** Which program the launcher gave up last, and why; once. */
  takeVerdict(): { readonly sha256: string | undefined; readonly reason: string } | undefined;
  /** Removes every other program; never one that the launcher may still start. */
  collect(keep: ReadonlySet<string>): Promise<void>;
}

/** The channel to the process that started this one: `process` has these. */
export interface ParentChannel {
  readonly send?: ((message: AgentMessage) => unknown) | undefined;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

export interface ProgramHostDeps {
  readonly stateDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly channel: ParentChannel;
  readonly clock: Clock;
  readonly nodeMajor: number;
}

/** The launcher writes a small file before it answers. */
const ANSWER_MS = 10_000;

/**
 * Finds the launcher that started this process.
 * @returns undefined when no launcher did: then the program cannot be replaced
 * @throws AppError `invalid` when what the launcher remembers cannot be understood
 */
export async function openProgramHost(deps: ProgramHostDeps): Promise<ProgramHost | undefined> {
  const launched = deps.env[LAUNCHED_PROGRAM];
  const baseRoot = deps.env[LAUNCHED_BASE];
  if (launched === undefined || baseRoot === undefined || deps.channel.send === undefined) return undefined;
  const state = await readLaunchState(deps.stateDir);
  if (state === undefined) return undefined;
  return createHost({ ...deps, baseRoot }, launched === '' ? null : launched, state);
}

function createHost(deps: ProgramHostDeps & StageDeps, running: Slot, state: LaunchState): ProgramHost {
  const ask = openChannel(deps);
  const previous = running === state.current ? state.previous : state.current;
  let { verdict } = state;
  return {
    running: running ?? undefined,
    previous: previous ?? undefined,
    stage: (blob, needs, signal) => stageProgram(blob, needs, deps, signal),
    switchTo: async (sha256, { soakMs, readyMs, signal }) => {
      const times = readyMs === undefined ? { soakMs } : { soakMs, readyMs };
      await ask({ type: 'switch', sha256: sha256 ?? null, ...times });
      return await untilAborted(signal);
    },
    commit: () => ask({ type: 'commit' }),
    takeVerdict: () => {
      if (verdict === undefined) return undefined;
      const { slot, reason } = verdict;
      verdict = undefined;
      deps.channel.send?.({ type: 'verdict-taken' });
      return { sha256: slot ?? undefined, reason };
    },
    collect: async (keep) => {
      const now = await readLaunchState(deps.stateDir);
      const slots = [running, now?.current, now?.previous, now?.trial?.slot, ...keep];
      await removeOthers(deps.stateDir, new Set(slots.filter((slot) => typeof slot === 'string')));
    },
  };
}

type Ask = (message: Extract<AgentMessage, { type: LauncherAnswer['to'] }>) => Promise<void>;

/** Questions to the launcher; each is answered once, and of each kind only one is open. */
function openChannel({ channel, clock }: ProgramHostDeps): Ask {
  const parse: Parser<LauncherAnswer> = parserOf(LauncherAnswerSchema);
  const open = new Map<LauncherAnswer['to'], (problem: string | undefined) => void>();
  channel.on('message', (message) => {
    try {
      const { to, problem } = parse(message, 'message of the launcher');
      open.get(to)?.(problem);
    } catch {
      // Of a newer launcher, or of another parent.
    }
  });
  return async (message) => {
    const answer = Promise.withResolvers<string | undefined>();
    open.set(message.type, answer.resolve);
    const waiting = new AbortController();
    const late = clock.sleep(ANSWER_MS, waiting.signal).then(() => {
      throw new AppError(
        'timeout',
        `the launcher did not answer '${message.type}' within ${ANSWER_MS / 1_000} s`,
      );
    });
    try {
      channel.send?.(message);
      const problem = await Promise.race([answer.promise, late]);
      if (problem !== undefined) throw new AppError('conflict', `the launcher refuses: ${problem}`);
    } finally {
      late.catch(() => undefined);
      waiting.abort();
    }
  };
}

function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => reject(signal?.reason);
    if (signal?.aborted === true) end();
    signal?.addEventListener('abort', end, { once: true });
  });
}

const SLOT_NAME = /^\.?([0-9a-f]{64})(?:\.tmp)?$/;

/** A folder that is half unpacked is nobody's: only one program is staged at a time, and not meanwhile. */
async function removeOthers(stateDir: string, keep: ReadonlySet<string>): Promise<void> {
  const folder = programsFolder(stateDir);
  for (const name of await readdir(folder)) {
    const [, sha256] = SLOT_NAME.exec(name) ?? [];
    if (sha256 === undefined || keep.has(name)) continue;
    const doomed = join(folder, `.${sha256}.tmp`);
    // What has the name of a program is whole at any moment.
    if (name === sha256) {
      await rm(doomed, { recursive: true, force: true });
      await rename(join(folder, name), doomed);
    }
    await rm(doomed, { recursive: true, force: true });
  }
}
