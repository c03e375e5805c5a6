import type { LaunchState, Trial } from '../slots/launch-state.ts';
import type { AgentMessage, LauncherAnswer } from '../slots/messages.ts';
import type { Slot } from '../slots/places.ts';

/*
 * What the launcher decides, as pure functions of what it remembers and what happens.
 *
 * INVARIANTS
 * - One program runs at a time; a program on trial becomes the current one by its own `commit` only, now or earlier.
 * - A trial is over after MAX_DEATHS + 1 starts that did not end as the launcher wanted; a start counts before it is
 *   made, so that a power cut counts too.
 * - Where the committed program does not become ready TRIES times, the one before is tried, then the one installed by
 *   hand, then again the first: whatever works is reached, and a fault that all of them have heals by itself.
 */

/** A program on trial may die so often. */
export const MAX_DEATHS = 2;
/** A committed program is started so often before another one is tried. */
export const TRIES = 10;
/** A program on trial becomes ready within this, when nothing else was said. */
export const READY_MS = 60_000;
/** It may commit so much later than the soak says: it counts from a later moment, and has work to do. */
export const COMMIT_MARGIN_MS = 120_000;

/** A program that is started, or runs. */
export interface Run {
  readonly slot: Slot;
  /** `fallback`: the current program did not become ready. */
  readonly role: 'current' | 'fallback' | 'trial';
  readonly isReady: boolean;
  /** Why the launcher has told it to stop. */
  readonly stop?: 'told' | 'switch' | 'overdue';
}

/** What happens while a program runs. */
export type LaunchEvent =
  | { readonly type: 'message'; readonly message: AgentMessage }
  /** The time of `deadlineOf` is over. */
  | { readonly type: 'overdue' }
  /** The launcher itself is to end. */
  | { readonly type: 'told' }
  | { readonly type: 'ended'; readonly reason: string };

export interface Reaction {
  readonly state: LaunchState;
  readonly run: Run;
  readonly answer?: LauncherAnswer;
}

export interface Facts {
  /** What identifies the program that is installed by hand. */
  readonly base: string;
  readonly has: (slot: Slot) => boolean;
}

/** What a launcher remembers that never ran before. */
export function firstState(base: string): LaunchState {
  return { format: 1, base, current: null, previous: null, failures: 0 };
}

/** What holds when a launcher starts; nothing runs. A program installed by hand since then is what is wanted now. */
export function atLaunch(state: LaunchState, { base, has }: Facts): LaunchState {
  if (state.base === base) return has(state.current) ? judged(state) : orphaned(state, 'its folder is gone');
  return orphaned({ ...state, base }, 'another program was installed by hand');
}

/** The current program is given up, and so is one on trial: its database may be newer than what runs now. */
function orphaned(state: LaunchState, reason: string): LaunchState {
  const lost = state.current === null ? {} : { verdict: { slot: state.current, reason } };
  const next: LaunchState = { ...state, current: null, previous: null, failures: 0, ...lost };
  if (state.trial === undefined) return next;
  return { ...next, trial: { ...state.trial, failed: state.trial.failed ?? { reason } } };
}

/** The next program to start; its start is counted and has to be stored before it is made. */
export function begin(
  state: LaunchState,
  has: Facts['has'],
): { readonly state: LaunchState; readonly run: Run } {
  const { trial } = state;
  if (trial !== undefined && trial.failed === undefined) {
    const counted = { ...state, trial: { ...trial, starts: trial.starts + 1 } };
    return { state: counted, run: { slot: trial.slot, role: 'trial', isReady: false } };
  }
  const ways = [...new Set<Slot>([state.current, state.previous, null])].filter(has);
  const slot = ways[Math.floor(state.failures / TRIES) % ways.length] ?? null;
  const role = slot === state.current ? 'current' : 'fallback';
  return { state, run: { slot, role, isReady: false } };
}

/** Within what time something has to happen, and what; undefined where there is no such time. */
export function deadlineOf(
  { trial }: LaunchState,
  run: Run,
): { readonly what: 'ready' | 'commit'; readonly ms: number } | undefined {
  if (run.role !== 'trial' || run.stop !== undefined || trial === undefined) return undefined;
  return run.isReady
    ? { what: 'commit', ms: trial.soakMs + COMMIT_MARGIN_MS }
    : { what: 'ready', ms: trial.readyMs };
}

/** What follows from what happened; what is changed in the state has to be stored before anything else is done. */
export function react(state: LaunchState, run: Run, event: LaunchEvent, has: Facts['has']): Reaction {
  switch (event.type) {
    case 'message':
      return onMessage(state, run, event.message, has);
    case 'overdue':
      return onOverdue(state, run);
    case 'told':
      return run.stop === undefined ? { state, run: { ...run, stop: 'told' } } : { state, run };
    case 'ended':
      return { state: onEnded(state, run, event.reason), run };
  }
}

function onMessage(state: LaunchState, run: Run, message: AgentMessage, has: Facts['has']): Reaction {
  switch (message.type) {
    case 'ready':
      return { state: onReady(state, run), run: { ...roleOnReady(run), isReady: true } };
    case 'commit':
      return onCommit(state, run);
    case 'switch':
      return onSwitch(state, run, message, has);
    case 'verdict-taken':
      return { state: without(state, 'verdict'), run };
  }
}

function roleOnReady(run: Run): Run {
  return run.role === 'fallback' ? { ...run, role: 'current' } : run;
}

function onReady(state: LaunchState, { slot, role }: Run): LaunchState {
  if (role === 'trial') return state;
  if (role === 'current') return state.failures === 0 ? state : { ...state, failures: 0 };
  const reason = `it was not ready in ${TRIES} starts, this one was`;
  const verdict = { slot: state.current, reason };
  return { ...state, current: slot, previous: null, failures: 0, verdict };
}

function onCommit(state: LaunchState, run: Run): Reaction {
  const answer = (problem?: string): LauncherAnswer =>
    problem === undefined ? { type: 'answer', to: 'commit' } : { type: 'answer', to: 'commit', problem };
  if (run.role === 'current') return { state, run, answer: answer() };
  if (run.role === 'fallback' || run.stop !== undefined || !run.isReady) {
    return { state, run, answer: answer('it is not on trial') };
  }
  return { ...committed(state, run), answer: answer() };
}

function onSwitch(
  state: LaunchState,
  run: Run,
  { sha256, soakMs, readyMs = READY_MS }: Extract<AgentMessage, { type: 'switch' }>,
  has: Facts['has'],
): Reaction {
  const problem = problemOfSwitch(state, run, sha256, has);
  if (problem !== undefined) return { state, run, answer: { type: 'answer', to: 'switch', problem } };
  const next =
    state.trial === undefined
      ? { ...state, trial: { slot: sha256, soakMs, readyMs, starts: 0 } }
      : failed(state, state.trial, 'it went back by itself');
  return { state: next, run: { ...run, stop: 'switch' }, answer: { type: 'answer', to: 'switch' } };
}

function problemOfSwitch(
  { trial, current }: LaunchState,
  run: Run,
  slot: Slot,
  has: Facts['has'],
): string | undefined {
  if (run.stop !== undefined) return 'it is about to stop';
  if (slot === run.slot) return 'that program runs already';
  if (!has(slot)) return 'that program is not there';
  return trial !== undefined && slot !== current ? 'a program on trial may only go back' : undefined;
}

function onOverdue(state: LaunchState, run: Run): Reaction {
  const deadline = deadlineOf(state, run);
  if (deadline === undefined || state.trial === undefined) return { state, run };
  if (deadline.what === 'commit' && isProven(state, run.slot)) return committed(state, run);
  const reason = `it did not ${deadline.what === 'ready' ? 'become ready' : 'commit'} within ${deadline.ms / 1_000} s`;
  return { state: failed(state, state.trial, reason), run: { ...run, stop: 'overdue' } };
}

/** It was committed before: that it runs is enough when it is gone back to, and no newer program is wanted then. */
function isProven({ previous }: LaunchState, slot: Slot): boolean {
  return slot === null || slot === previous;
}

function committed(state: LaunchState, run: Run): { readonly state: LaunchState; readonly run: Run } {
  const next = { ...without(state, 'trial'), current: run.slot, previous: state.current, failures: 0 };
  return { state: next, run: { ...run, role: 'current' } };
}

function onEnded(state: LaunchState, run: Run, reason: string): LaunchState {
  const { trial } = state;
  if (run.role === 'trial' && trial !== undefined && trial.failed === undefined) {
    // As the launcher wanted: this start does not count.
    if (run.stop !== undefined)
      return { ...state, trial: { ...trial, starts: Math.max(0, trial.starts - 1) } };
    return judged(state, reason);
  }
  if (run.role === 'trial' || run.stop !== undefined || run.isReady) return state;
  return { ...state, failures: state.failures + 1 };
}

/** Gives a program on trial up when it has died too often. */
function judged(state: LaunchState, last = 'power was lost, or the launcher was killed'): LaunchState {
  const { trial } = state;
  if (trial === undefined || trial.failed !== undefined || trial.starts <= MAX_DEATHS) return state;
  return failed(state, trial, `it died ${trial.starts} times; the last time: ${last}`);
}

function failed(state: LaunchState, trial: Trial, reason: string): LaunchState {
  return { ...state, trial: { ...trial, failed: { reason } } };
}

/** Gives a program on trial up for a reason of the launcher's own. */
export function giveUp(state: LaunchState, reason: string): LaunchState {
  return state.trial === undefined ? state : failed(state, state.trial, reason);
}

/** After all has been put back: the trial is over, its verdict is left for the agent. */
export function settled(state: LaunchState): LaunchState {
  const { trial } = state;
  if (trial?.failed === undefined) return state;
  return { ...without(state, 'trial'), verdict: { slot: trial.slot, reason: trial.failed.reason } };
}

function without(state: LaunchState, key: 'trial' | 'verdict'): LaunchState {
  const { [key]: _, ...rest } = state;
  return rest;
}
