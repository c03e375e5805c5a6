import { setImmediate as turn } from 'node:timers/promises';
import type { BackoffPolicy, Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import { isDue, type Limits, type Outcome, type SensorState, stepHealth, unreadHealth } from './health.ts';

/** State of one sensor, for people and telemetry. */
export interface SensorHealth {
  readonly name: string;
  readonly state: SensorState;
  /** Monotonic milliseconds (`Clock.monoMs`) since which it is in this state. */
  readonly sinceMs: number;
  /** Why it is taken out; empty when it is not. */
  readonly reason: string;
}

/** Something that can be read again and again. */
export interface Source<T> {
  /** Undefined when there is nothing to tell yet. @throws when it cannot be read */
  read(): Promise<T | undefined>;
  /** Gives back what it holds. */
  close?(): void;
}

/** The number in a reading by which its sensor is judged. */
export interface Judged {
  readonly value: number;
  readonly raw: number;
  readonly limits: Limits;
}

export type InTurn = <R>(task: () => Promise<R>) => Promise<R>;

/** What all sensors of one device share. */
export interface UnitDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** A read that takes longer is abandoned, milliseconds. */
  readonly boundMs: number;
  /** Between attempts to read a sensor that is not well. */
  readonly backoff: BackoffPolicy;
  /** How busy the machine was last, 0..1. */
  readonly activity: () => number | undefined;
  /** Called once with every change of state. */
  readonly onHealth: (health: SensorHealth) => void;
  /** Abandoned reads that have not come back: each holds a thread of the process. */
  readonly hanging: { count: number };
  /** Runs one task after the other. */
  readonly inTurn: InTurn;
}

export interface UnitOptions<T> {
  readonly name: string;
  /** Finds the sensor; called again after every failure. @throws when there is none */
  open(): Promise<Source<T>>;
  /** Undefined when there is nothing to judge in it. */
  judge?(value: T): Judged | undefined;
  /** That it cannot be read is usual (the engine that it measures is off), and nobody is told. */
  readonly isOptional?: boolean;
  /** It is made of sensors that are supervised themselves, and does not wait for its turn between them. */
  readonly isComposite?: boolean;
  /** In place of the common ones. */
  readonly boundMs?: number;
  readonly backoff?: BackoffPolicy;
}

/** One supervised sensor. */
export interface Unit<T> {
  /** Reads it. Undefined when it is taken out, or when it must be taken out now; it never throws. */
  sample(): Promise<T | undefined>;
  health(): SensorHealth;
  /** Whether it was ever read. */
  wasRead(): boolean;
  /** Gives back what the sensor holds until it is read again. */
  release(): void;
  /** Gives it back for good. */
  close(): void;
}

/**
 * The process has 4 threads for files (libuv), which it needs for more than sensors: with so many of them
 * stuck, no new read begins.
 */
const MAX_HANGING = 3;

/**
 * Supervises one sensor: a read that takes too long is abandoned, and no other is begun before it has come
 * back; what fails or tells nonsense is taken out, told once, and tried again after a backoff.
 */
export function createUnit<T>(options: UnitOptions<T>, deps: UnitDeps): Unit<T> {
  const { clock, random, hanging } = deps;
  const backoff = options.backoff ?? deps.backoff;
  const boundMs = options.boundMs ?? deps.boundMs;
  const held = holdSource(options.open);
  let health = unreadHealth(clock.monoMs());
  let isUnderWay = false;
  let wasRead = false;

  const describe = (): SensorHealth => {
    const { state, sinceMs, reason } = health;
    return { name: options.name, state, sinceMs, reason };
  };
  const settle = (outcome: Outcome): boolean => {
    const before = health.state;
    health = stepHealth(health, outcome, clock.monoMs(), { backoff, chance: random() });
    const isUsual = options.isOptional === true && [before, health.state].every(isUsualState);
    if (before !== health.state && !isUsual) deps.onHealth(describe());
    return health.state === 'ok';
  };
  const readWithin = async (): Promise<Attempt<T>> => {
    isUnderWay = true;
    wasRead = true;
    const attempt = attempted(held.read());
    void attempt.then(({ kind }) => {
      isUnderWay = false;
      if (kind === 'failed') held.release();
    });
    const result = await within(attempt, boundMs, clock);
    if (result.kind === 'slow') {
      hanging.count += 1;
      void attempt.then(() => {
        hanging.count -= 1;
        held.release();
      });
    }
    return result;
  };
  const sampleNow = async (): Promise<T | undefined> => {
    if (held.isClosed() || isUnderWay || !isDue(health, clock.monoMs())) return undefined;
    if (hanging.count >= MAX_HANGING) {
      settle({ kind: 'slow', reason: `not read while ${hanging.count} reads of sensors hang` });
      return undefined;
    }
    const result = await readWithin();
    const isUsable = settle(outcomeOf(result, options.judge, deps.activity()));
    return isUsable && result.kind === 'done' ? result.value : undefined;
  };
  const sample = options.isComposite === true ? sampleNow : () => deps.inTurn(sampleNow);
  const release = (): void => {
    if (!isUnderWay) held.release();
  };
  return { sample, health: describe, wasRead: () => wasRead, release, close: held.close };
}

/** Makes a queue of one: reads at once would need as many threads, and a stuck device would take them all. */
export function createTurns(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return async (task) => {
    const result = last.then(task);
    last = result.catch(() => undefined);
    return await result;
  };
}

/** A source that is opened when it is read, and again after it was given back. */
interface HeldSource<T> {
  read(): Promise<T | undefined>;
  release(): void;
  close(): void;
  isClosed(): boolean;
}

function holdSource<T>(open: () => Promise<Source<T>>): HeldSource<T> {
  let source: Source<T> | undefined;
  let isClosed = false;
  const release = (): void => {
    source?.close?.();
    source = undefined;
  };
  return {
    read: async () => {
      source ??= await open();
      // Closed while it was opened: nobody else would give it back.
      if (isClosed) release();
      return await source?.read();
    },
    release,
    close: () => {
      isClosed = true;
      release();
    },
    isClosed: () => isClosed,
  };
}

/** States of an optional sensor of which nobody is told. */
function isUsualState(state: SensorState): boolean {
  return state === 'ok' || state === 'missing';
}

type Attempt<T> =
  | { readonly kind: 'done'; readonly value: T | undefined }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'slow'; readonly reason: string };

/** A promise that never rejects. */
function attempted<T>(reading: Promise<T | undefined>): Promise<Attempt<T>> {
  return reading.then<Attempt<T>, Attempt<T>>(
    (value) => ({ kind: 'done', value }),
    (error: unknown) => ({ kind: 'failed', reason: describeError(error) }),
  );
}

/** The attempt's own result, or `slow` when it is not there in time. */
async function within<T>(attempt: Promise<Attempt<T>>, boundMs: number, clock: Clock): Promise<Attempt<T>> {
  const stop = new AbortController();
  const late = clock.sleep(boundMs, stop.signal).then<Attempt<T>, undefined>(
    () => ({ kind: 'slow', reason: `it was not read within ${boundMs} ms` }),
    () => undefined,
  );
  const first = await Promise.race([attempt, late]);
  stop.abort();
  if (first !== undefined && first.kind !== 'slow') return first;
  // A process that was busy itself finds the bound passed before it has looked whether the read is done.
  await turn();
  const chance = await Promise.race([attempt, Promise.resolve(undefined)]);
  return chance ?? first ?? (await attempt);
}

function outcomeOf<T>(
  result: Attempt<T>,
  judge: UnitOptions<T>['judge'],
  activity: number | undefined,
): Outcome {
  if (result.kind !== 'done') return result;
  if (result.value === undefined) return { kind: 'not-yet' };
  const judged = judge?.(result.value);
  return judged === undefined ? { kind: 'read' } : { kind: 'value', activity, ...judged };
}
