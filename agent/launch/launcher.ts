import { type BackoffPolicy, backoffMs, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { parserOf } from '../../shared/schema.ts';
import { type LaunchState, readLaunchState, writeLaunchState } from '../slots/launch-state.ts';
import { type AgentMessage, AgentMessageSchema } from '../slots/messages.ts';
import { hasSlot, type Slot } from '../slots/places.ts';
import type { ChildOptions, ProgramProcess } from './child.ts';
import { dropAside, putAside, putBack, schemaOf } from './database-aside.ts';
import { createInbox } from './inbox.ts';
import {
  atLaunch,
  begin,
  deadlineOf,
  firstState,
  giveUp,
  type LaunchEvent,
  type Reaction,
  type Run,
  react,
  settled,
} from './rules.ts';

/** What the launcher wants of a program that it starts. */
export type StartOptions = Pick<ChildOptions, 'clock' | 'onMessage' | 'onEnded'>;

export interface LauncherDeps {
  /** Real path. */
  readonly stateDir: string;
  /** What identifies the program that is installed by hand. */
  readonly base: string;
  readonly start: (slot: Slot, options: StartOptions) => ProgramProcess;
  readonly clock: Clock;
  readonly random: Random;
  readonly say: (text: string) => void;
  /** A program is ready. */
  readonly onReady: (slot: Slot) => void;
  readonly policy?: BackoffPolicy;
}

const BACKOFF: BackoffPolicy = { firstMs: 1_000, capMs: 60_000 };

/** Longest time that a timer of Node.js can have: 24.8 days; a soak may be longer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A message is a few hundred bytes; a program that floods us is not listened to any further. */
const MAX_WAITING = 1_000;

/**
 * Runs the agent's program, one at a time, until the signal aborts: starts it again when it dies, puts another one in
 * its place when it says so, and goes back when that one does not prove itself.
 */
export async function runLauncher(deps: LauncherDeps, signal: AbortSignal): Promise<void> {
  const launcher = createLauncher(deps);
  await launcher.load();
  let deaths = 0;
  const policy = deps.policy ?? BACKOFF;
  while (!signal.aborted) {
    const startedMs = deps.clock.monoMs();
    if (await runOnce(launcher, deps, signal)) {
      deaths = 0;
      continue;
    }
    deaths = deps.clock.monoMs() - startedMs > policy.capMs ? 1 : deaths + 1;
    await deps.clock.sleep(backoffMs(deaths - 1, policy, deps.random), signal).catch(() => undefined);
  }
}

/** @returns whether the next step is to be made at once: nothing has died */
async function runOnce(launcher: Launcher, { say }: LauncherDeps, signal: AbortSignal): Promise<boolean> {
  try {
    await launcher.settle();
  } catch (error) {
    // Whatever the disk has will pass; nothing may run before all is put back.
    say(`cannot go back yet: ${describeError(error)}`);
    return false;
  }
  if (signal.aborted) return true;
  const run = await launcher.begin();
  if (run === undefined) return true;
  const ended = await launcher.watch(run, signal);
  return ended.stop !== undefined;
}

interface Launcher {
  load(): Promise<void>;
  /** Puts back what a program on trial has changed, or puts it aside before it starts. */
  settle(): Promise<void>;
  /** @returns undefined when there is something to settle first */
  begin(): Promise<Run | undefined>;
  /** Starts a program, and resolves when it has ended. */
  watch(run: Run, signal: AbortSignal): Promise<Run>;
}

function createLauncher(deps: LauncherDeps): Launcher {
  const { stateDir, say } = deps;
  const has = (slot: Slot): boolean => hasSlot(stateDir, slot);
  let state = firstState(deps.base);
  /** A full disk must not end the launcher: what cannot be stored is remembered as long as it runs. */
  const keep = async (next: LaunchState): Promise<string | undefined> => {
    if (next === state) return undefined;
    state = next;
    return await writeLaunchState(stateDir, next).then(
      () => undefined,
      (error: unknown) => {
        say(describeError(error));
        return describeError(error);
      },
    );
  };
  return {
    load: async () => {
      const stored = await loadState(deps);
      state = stored ?? state;
      const next = atLaunch(state, { base: deps.base, has });
      if (next !== state) await keep(next);
      // Without it, the agent does not know that it can be replaced.
      else if (stored === undefined) await keep({ ...state });
      if (state.trial === undefined) await dropAside(stateDir);
    },
    settle: async () => {
      await settleTrial(deps, () => state, keep);
    },
    begin: async () => {
      const next = begin(state, has);
      const problem = await keep(next.state);
      if (problem === undefined || next.run.role !== 'trial') return next.run;
      // A start that is not counted could be made for ever.
      await keep(giveUp(state, problem));
      return undefined;
    },
    watch: (run, signal) => {
      const take = async (now: Run, event: LaunchEvent): Promise<Reaction> => {
        const before = state;
        const reaction = react(state, now, event, has);
        const problem = await keep(reaction.state);
        if (problem !== undefined && reaction.answer !== undefined) {
          // What is answered is promised.
          state = before;
          return { state, run: now, answer: { ...reaction.answer, problem } };
        }
        if (before.trial !== undefined && state.trial === undefined) await dropAside(stateDir);
        return reaction;
      };
      return watchRun(deps, run, signal, { state: () => state, take });
    },
  };
}

/** What cannot be understood is nothing to hold on to: the program installed by hand runs. */
async function loadState({ stateDir, say }: LauncherDeps): Promise<LaunchState | undefined> {
  try {
    return await readLaunchState(stateDir);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'invalid') throw error;
    say(`${error.message}; starting the program that was installed by hand`);
    return undefined;
  }
}

async function settleTrial(
  { stateDir, say }: LauncherDeps,
  state: () => LaunchState,
  keep: (next: LaunchState) => Promise<string | undefined>,
): Promise<void> {
  const { trial } = state();
  if (trial === undefined) return;
  if (trial.failed === undefined) {
    if (trial.schema !== undefined) return;
    try {
      const schema = await putAside(stateDir);
      await keep({ ...state(), trial: { ...trial, schema } });
      return;
    } catch (error) {
      await keep(giveUp(state(), describeError(error)));
    }
  }
  await goBack(stateDir, state, keep);
  say(`program ${nameOf(trial.slot)} is given up: ${state().verdict?.reason ?? ''}`);
}

async function goBack(
  stateDir: string,
  state: () => LaunchState,
  keep: (next: LaunchState) => Promise<string | undefined>,
): Promise<void> {
  const { trial } = state();
  if (trial?.failed === undefined) return;
  const { schema, failed } = trial;
  const restore =
    failed.restore ?? (schema !== undefined && schema >= 0 && (await schemaOf(stateDir)) > schema);
  // Decided once: after a power cut in the middle of it, what is there says nothing any more.
  await keep({ ...state(), trial: { ...trial, failed: { ...failed, restore } } });
  if (restore) await putBack(stateDir);
  await keep(settled(state()));
  await dropAside(stateDir);
}

interface Reactor {
  readonly state: () => LaunchState;
  /** Decides, and stores what was decided. */
  readonly take: (run: Run, event: LaunchEvent) => Promise<Reaction>;
}

async function watchRun(deps: LauncherDeps, first: Run, signal: AbortSignal, reactor: Reactor): Promise<Run> {
  const { clock, say } = deps;
  const inbox = createInbox<LaunchEvent>(MAX_WAITING);
  const child = deps.start(first.slot, {
    clock,
    onMessage: acceptMessages((message) => inbox.put({ type: 'message', message })),
    onEnded: (reason) => inbox.put({ type: 'ended', reason }, true),
  });
  const onAbort = (): void => inbox.put({ type: 'told' }, true);
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  say(`program ${nameOf(first.slot)} started (${first.role}, process ${child.pid ?? 'none'})`);
  const deadline = createDeadline(clock, () => inbox.put({ type: 'overdue' }, true));
  try {
    for (let run = first; ; ) {
      deadline.set(deadlineOf(reactor.state(), run));
      const event = await inbox.next();
      const reaction = await reactor.take(run, event);
      if (reaction.answer !== undefined) child.send(reaction.answer);
      if (reaction.run.isReady && !run.isReady) deps.onReady(run.slot);
      run = reaction.run;
      if (run.stop !== undefined) child.stop();
      if (event.type === 'ended') return saidEnd(run, event.reason, say);
    }
  } finally {
    deadline.set(undefined);
    signal.removeEventListener('abort', onAbort);
  }
}

function saidEnd(run: Run, reason: string, say: (text: string) => void): Run {
  const why = run.stop === undefined ? '' : `, as it was told to (${run.stop})`;
  say(`program ${nameOf(run.slot)} ended: ${reason}${why}`);
  return run;
}

/** What is no message of the protocol is of a newer agent, and ignored. */
function acceptMessages(put: (message: AgentMessage) => void): (value: unknown) => void {
  const parse = parserOf(AgentMessageSchema);
  return (value) => {
    try {
      put(parse(value, 'message of the agent'));
    } catch {
      // Nothing to do.
    }
  };
}

type Deadline = ReturnType<typeof deadlineOf>;

/** One timer; it starts anew where what it waits for is another thing. */
function createDeadline(clock: Clock, onOverdue: () => void): { set(deadline: Deadline): void } {
  let waiting: { readonly what: string; readonly stop: AbortController } | undefined;
  return {
    set: (deadline) => {
      if (deadline?.what === waiting?.what) return;
      waiting?.stop.abort();
      waiting = undefined;
      if (deadline === undefined) return;
      const stop = new AbortController();
      waiting = { what: deadline.what, stop };
      sleepLong(clock, deadline.ms, stop.signal).then(onOverdue, () => undefined);
    },
  };
}

async function sleepLong(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  for (let left = ms; left > 0; left -= MAX_TIMER_MS) {
    await clock.sleep(Math.min(left, MAX_TIMER_MS), signal);
  }
}

function nameOf(slot: Slot): string {
  return slot === null ? 'installed by hand' : slot.slice(0, 12);
}
