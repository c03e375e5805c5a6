import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  atLaunch,
  begin,
  COMMIT_MARGIN_MS,
  deadlineOf,
  firstState,
  type LaunchEvent,
  MAX_DEATHS,
  READY_MS,
  type Run,
  react,
  settled,
  TRIES,
} from '../../../agent/launch/rules.ts';
import type { LaunchState } from '../../../agent/slots/launch-state.ts';
import type { Slot } from '../../../agent/slots/places.ts';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const all = (): boolean => true;
const died: LaunchEvent = { type: 'ended', reason: 'exit status 1' };
const ready: LaunchEvent = { type: 'message', message: { type: 'ready' } };
const commit: LaunchEvent = { type: 'message', message: { type: 'commit' } };
const switchTo = (sha256: Slot, soakMs = 1_000): LaunchEvent => ({
  type: 'message',
  message: { type: 'switch', sha256, soakMs },
});

interface Moment {
  readonly state: LaunchState;
  readonly run: Run;
}

function startOf(state: LaunchState): Moment {
  return begin(state, all);
}

function afterwards({ state, run }: Moment, ...events: readonly LaunchEvent[]): Moment {
  return events.reduce<Moment>((at, event) => react(at.state, at.run, event, all), { state, run });
}

/** The program by hand runs and has told the launcher to start A. */
const chosen = afterwards(startOf(firstState('1')), ready, switchTo(A), died).state;
/** A is current, the program by hand before it. */
const committed = afterwards(startOf(chosen), ready, commit).state;

describe('a program on trial', () => {
  test('is started after the one before has stopped, and becomes current by its commit', () => {
    const trial = startOf(chosen);
    expect(trial.run).toEqual({ slot: A, role: 'trial', isReady: false });
    expect(trial.state.current).toBeNull();
    expect(committed).toMatchObject({ current: A, previous: null, failures: 0 });
    expect(committed.trial).toBeUndefined();
  });

  test('cannot commit before it is ready, nor while it is about to stop', () => {
    const early = react(startOf(chosen).state, startOf(chosen).run, commit, all);
    expect(early.answer?.problem).toBe('it is not on trial');
    expect(early.state.current).toBeNull();
    const late = afterwards(startOf(chosen), ready, { type: 'told' }, commit);
    expect(late.state.current).toBeNull();
  });

  test('is given up when it has died more often than it may', () => {
    let state = chosen;
    for (let death = 0; death <= MAX_DEATHS; death += 1) {
      expect(state.trial?.failed).toBeUndefined();
      state = afterwards(startOf(state), ready, died).state;
    }
    expect(state.trial?.failed?.reason).toBe('it died 3 times; the last time: exit status 1');
    const back = settled(state);
    expect(back.verdict).toEqual({ slot: A, reason: 'it died 3 times; the last time: exit status 1' });
    expect(startOf(back).run).toMatchObject({ slot: null, role: 'current' });
  });

  test('has a death on its account for each power cut, and none for a stop that was wanted', () => {
    const stopped = afterwards(startOf(chosen), { type: 'told' }, died).state;
    expect(stopped.trial?.starts).toBe(0);
    let state = stopped;
    for (let cut = 0; cut <= MAX_DEATHS; cut += 1)
      state = startOf(atLaunch(state, { base: '1', has: all })).state;
    expect(atLaunch(state, { base: '1', has: all }).trial?.failed?.reason).toBe(
      'it died 3 times; the last time: power was lost, or the launcher was killed',
    );
  });

  test.each([
    { what: 'become ready', events: [], ms: READY_MS },
    { what: 'commit', events: [ready], ms: 1_000 + COMMIT_MARGIN_MS },
  ])('is given up when it does not $what in time', ({ what, events, ms }) => {
    const waiting = afterwards(startOf(chosen), ...events);
    expect(deadlineOf(waiting.state, waiting.run)?.ms).toBe(ms);
    const late = afterwards(waiting, { type: 'overdue' });
    expect(late.run.stop).toBe('overdue');
    expect(late.state.trial?.failed?.reason).toBe(`it did not ${what} within ${ms / 1_000} s`);
    expect(settled(afterwards(late, died).state).current).toBeNull();
  });

  test('needs no second commit when it was committed before', () => {
    const back = afterwards(startOf(committed), ready, switchTo(null), died).state;
    const old = afterwards(startOf(back), ready, { type: 'overdue' });
    expect(old.state).toMatchObject({ current: null, previous: A });
    expect(old.run).toEqual({ slot: null, role: 'current', isReady: true });
    expect(afterwards(startOf(back), { type: 'overdue' }).state.trial?.failed).toBeDefined();
  });

  test('may go back by itself, and to no other program', () => {
    const trial = afterwards(startOf(chosen), ready);
    expect(react(trial.state, trial.run, switchTo(B), all).answer?.problem).toBe(
      'a program on trial may only go back',
    );
    const back = afterwards(trial, switchTo(null), died);
    expect(settled(back.state)).toMatchObject({ current: null, verdict: { slot: A } });
  });

  test('ends when another program was installed by hand meanwhile', () => {
    const state = atLaunch(startOf(chosen).state, { base: '2', has: all });
    expect(state).toMatchObject({ base: '2', current: null });
    expect(state.trial?.failed?.reason).toBe('another program was installed by hand');
  });
});

describe('a committed program', () => {
  test('is started again and again when it dies after it was ready', () => {
    let state = committed;
    for (let death = 0; death < 3 * TRIES; death += 1) state = afterwards(startOf(state), ready, died).state;
    expect(startOf(state).run).toMatchObject({ slot: A, role: 'current' });
  });

  test('gives way to the one before when it never becomes ready, for good once that one is ready', () => {
    let state = committed;
    for (let death = 0; death < TRIES; death += 1) state = afterwards(startOf(state), died).state;
    const fallback = startOf(state);
    expect(fallback.run).toMatchObject({ slot: null, role: 'fallback' });
    expect(afterwards(fallback, ready).state).toMatchObject({
      current: null,
      failures: 0,
      verdict: { slot: A },
    });
  });

  test('has its turn again when no other one becomes ready either', () => {
    let state = committed;
    for (let death = 0; death < 2 * TRIES; death += 1) state = afterwards(startOf(state), died).state;
    expect(startOf(state).run).toMatchObject({ slot: A, role: 'current' });
    expect(state.verdict).toBeUndefined();
  });

  test('is left for the one installed by hand when its folder is gone', () => {
    const state = atLaunch(committed, { base: '1', has: (slot) => slot === null });
    expect(state).toMatchObject({ current: null, verdict: { slot: A, reason: 'its folder is gone' } });
  });

  test('may commit again, and tells what it has read of a verdict', () => {
    const running = afterwards(startOf({ ...committed, verdict: { slot: B, reason: 'x' } }), ready);
    expect(react(running.state, running.run, commit, all).answer).toEqual({ type: 'answer', to: 'commit' });
    expect(
      afterwards(running, { type: 'message', message: { type: 'verdict-taken' } }).state.verdict,
    ).toBeUndefined();
  });

  test.each([
    { what: 'itself', slot: A, has: all, problem: 'that program runs already' },
    {
      what: 'what is not there',
      slot: B,
      has: (slot: Slot) => slot !== B,
      problem: 'that program is not there',
    },
  ])('cannot give way to $what', ({ slot, has, problem }) => {
    const running = afterwards(startOf(committed), ready);
    const reaction = react(running.state, running.run, switchTo(slot), has);
    expect(reaction.answer?.problem).toBe(problem);
    expect(reaction.run.stop).toBeUndefined();
  });
});

/** How a program behaves whenever it is started. */
const BEHAVIOURS = ['works', 'crashes', 'hangs', 'never-commits'] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

/** What the launcher's loop does, with programs that are one word each. */
class World {
  readonly #behaviours: ReadonlyMap<Slot, Behaviour>;
  readonly proven = new Set<Slot>([null]);
  state: LaunchState = firstState('1');
  run: Run | undefined;

  constructor(behaviours: ReadonlyMap<Slot, Behaviour>) {
    this.#behaviours = behaviours;
  }

  /** A program is ready and not on trial; one that is ready works, as far as can be known. */
  get serves(): boolean {
    return this.run?.isReady === true && this.run.role !== 'trial' && this.run.stop === undefined;
  }

  start(): void {
    if (this.run !== undefined) return;
    if (this.state.trial?.failed !== undefined) this.state = settled(this.state);
    ({ state: this.state, run: this.run } = begin(this.state, all));
  }

  take(event: LaunchEvent): void {
    if (this.run === undefined) return;
    const before = this.state.current;
    const reaction = react(this.state, this.run, event, all);
    if (
      event.type === 'message' &&
      event.message.type === 'commit' &&
      reaction.answer?.problem === undefined
    ) {
      this.proven.add(this.run.slot);
    }
    this.state = reaction.state;
    this.run = event.type === 'ended' ? undefined : reaction.run;
    if (this.state.current !== before) expect(this.proven).toContain(this.state.current);
  }

  powerCut(): void {
    this.run = undefined;
    this.state = atLaunch(this.state, { base: '1', has: all });
  }

  /** One thing that the program which runs does by itself. */
  live(): void {
    this.start();
    if (this.run === undefined) return;
    this.take(this.run.stop === undefined ? this.#next(this.run) : died);
  }

  #next({ slot, role, isReady }: Run): LaunchEvent {
    const behaviour = this.#behaviours.get(slot);
    if (behaviour === 'crashes') return died;
    if (behaviour === 'hangs') return role === 'trial' ? { type: 'overdue' } : died;
    if (!isReady || role !== 'trial') return ready;
    return behaviour === 'never-commits' ? { type: 'overdue' } : commit;
  }
}

test('whatever happens, a program that works runs soon, and only what has committed becomes current', () => {
  const op = fc.oneof(
    fc.constantFrom<'live' | 'cut'>('live', 'cut'),
    fc.constantFrom<LaunchEvent>(died, ready, commit, { type: 'overdue' }, { type: 'told' }),
    fc.constantFrom<Slot>(A, B, null).map((slot) => switchTo(slot)),
  );
  const behaviour = fc.constantFrom(...BEHAVIOURS);
  fc.assert(
    fc.property(behaviour, behaviour, fc.array(op, { maxLength: 80 }), (a, b, ops) => {
      const world = new World(
        new Map<Slot, Behaviour>([
          [A, a],
          [B, b],
          [null, 'works'],
        ]),
      );
      for (const next of ops) {
        world.start();
        if (next === 'live') world.live();
        else if (next === 'cut') world.powerCut();
        else world.take(next);
      }
      let steps = 0;
      for (; !world.serves && steps < 1_000; steps += 1) world.live();
      // At worst: a trial that dies as often as it may, then each of the three programs as often as it is tried.
      expect(steps).toBeLessThanOrEqual(2 * (MAX_DEATHS + 2) + 3 * 2 * TRIES);
    }),
    { numRuns: 500 },
  );
});
