import type { Loop } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import type { Logger } from '../../shared/log.ts';
import type { Operation } from '../operation/operation.ts';
import { createSensing } from '../operation/sensing.ts';
import type { FrameAnswered } from '../runtime/loop.ts';
import type { SensorReading } from '../sensors/reading.ts';
import type { Sensors } from '../sensors/sensors.ts';
import type { FamilyWays } from './fitness.ts';
import { createFrameTurns, type FrameTurns } from './frame-turns.ts';
import { type AwaitGap, createGaps } from './gaps.ts';
import type { Serving } from './load-family.ts';
import { prepareFamily } from './prepare.ts';
import { type PreparedFamily, preparedFamily } from './prepared.ts';
import { createService, type OwnedService, type Service } from './service.ts';

/** What serves frames, and may be replaced by another family while it does. */
export interface FamilyHost {
  serving(): Family;
  /**
   * Qualifies (in a process of its own), profiles and loads a family beside the one that serves; in its gaps, as
   * far as there are any. One at a time: until it is activated or disposed of there is no other.
   * @throws AppError `invalid` when no level of it can be used, `conflict` while another one is prepared or the
   * agent stops; the signal's reason when it aborts. What serves is untouched then
   */
  prepare(family: Family, signal: AbortSignal): Promise<PreparedFamily>;
}

/** What an operation is made with. */
export interface Operating {
  /** Ends its work in the background. */
  readonly signal: AbortSignal;
  /** Hears of every answer. */
  readonly onAnswered: (answered: FrameAnswered) => void;
}

export interface FamilyHostDeps {
  readonly first: Serving;
  /** Engine and frames of the first family: they are released when another one has taken its place. */
  readonly resources: AsyncDisposableStack;
  readonly ways: FamilyWays;
  readonly operate: (serving: Serving, operating: Operating) => Operation;
  readonly sensors: Pick<Sensors, 'sample'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** The family that serves is about to be another one: no frame of it is under way. */
  readonly onLeaving: () => void;
  readonly onActivated: (service: Service) => void;
}

/** The host, for the agent that it is a part of. Disposing of it releases the family that serves. */
export interface ServiceHost extends FamilyHost, AsyncDisposable {
  current(): Service;
  /** Answers frames. */
  readonly frames: Loop;
  /** Reads the sensors. */
  readonly sensing: Loop;
  /** Ends preparations and work in the background, for ever. */
  settle(): Promise<void>;
}

/** Makes the host of a family that is loaded; starts nothing. */
export function createFamilyHost(deps: FamilyHostDeps): ServiceHost {
  return new RunningHost(deps);
}

class RunningHost implements ServiceHost {
  readonly frames: Loop;
  readonly sensing: Loop;
  readonly #deps: FamilyHostDeps;
  readonly #closing = new AbortController();
  readonly #hearers = new Set<(answered: FrameAnswered) => void>();
  readonly #turns: FrameTurns;
  readonly #awaitGap: AwaitGap;
  #current: OwnedService;
  /** What is prepared or being prepared; what it resolves to releases it. */
  #beside: Promise<AsyncDisposable | undefined> | undefined;
  #releasing: Promise<void> = Promise.resolve();
  #latest: SensorReading | undefined;

  constructor(deps: FamilyHostDeps) {
    const { clock, sensors, ways } = deps;
    this.#deps = deps;
    this.#current = this.#serviceOf(deps.first, deps.resources);
    const loop = () => this.#current.operation.loop;
    this.#turns = createFrameTurns(loop);
    this.#awaitGap = createGaps(clock, () => (this.#turns.isRunning() ? loop() : undefined));
    this.frames = this.#turns.run;
    const { periodMs } = ways.config.sensors;
    const onReading = (reading: SensorReading): void => {
      this.#latest = reading;
      this.#current.operation.reading(reading, this.#beside !== undefined);
    };
    this.sensing = createSensing({ sensors, clock, periodMs, onReading });
  }

  current(): Service {
    return this.#current;
  }

  serving(): Family {
    return this.#current.serving.family;
  }

  async prepare(family: Family, signal: AbortSignal): Promise<PreparedFamily> {
    this.#throwIfClosing();
    if (this.#beside !== undefined) throw new AppError('conflict', 'another family is being prepared');
    const preparing = this.#prepare(family, AbortSignal.any([signal, this.#closing.signal]));
    this.#beside = preparing.catch(() => undefined);
    try {
      return await preparing;
    } catch (error) {
      this.#beside = undefined;
      throw error;
    }
  }

  async settle(): Promise<void> {
    this.#closing.abort(stopping());
    await this.#current.settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(stopping());
    await (await this.#beside)?.[Symbol.asyncDispose]();
    await this.#releasing;
    await this.#current[Symbol.asyncDispose]();
  }

  async #prepare(family: Family, signal: AbortSignal): Promise<PreparedFamily> {
    const { ways, clock } = this.#deps;
    // Memory is for two families, not for three.
    await this.#releasing;
    const before = this.#current.serving;
    const stack = new AsyncDisposableStack();
    const awaitIdle = (expectedMs: number): Promise<void> => this.#awaitGap(expectedMs, signal);
    const all = { ...ways, signal, awaitIdle };
    let service: OwnedService;
    try {
      service = this.#serviceOf(await prepareFamily(family, { beside: before, ways: all }, stack), stack);
    } catch (error) {
      await stack.disposeAsync();
      throw error;
    }
    return preparedFamily({
      before,
      service,
      clock,
      closing: this.#closing.signal,
      awaitGap: this.#awaitGap,
      listen: (hearer) => {
        this.#hearers.add(hearer);
        return () => void this.#hearers.delete(hearer);
      },
      swap: (next) => this.#turns.between(() => this.#swap(next)),
      onLeft: () => {
        this.#beside = undefined;
      },
    });
  }

  #serviceOf(serving: Serving, resources: AsyncDisposableStack): OwnedService {
    const onAnswered = (answered: FrameAnswered): void => {
      for (const hear of this.#hearers) hear(answered);
    };
    return createService(serving, resources, (of, signal) => this.#deps.operate(of, { signal, onAnswered }));
  }

  #swap(next: OwnedService): void {
    this.#throwIfClosing();
    const before = this.#current;
    this.#deps.onLeaving();
    before.operation.ends();
    next.serving.frames.seek(before.serving.frames.position());
    if (this.#latest !== undefined) next.operation.begins(this.#latest);
    this.#current = next;
    this.#releasing = this.#release(before);
    try {
      this.#deps.onActivated(next);
    } catch (error) {
      // It serves: nothing that is told of it changes that.
      this.#deps.log.error(`what is told of a family that serves: ${describeError(error)}`);
    }
  }

  async #release(service: OwnedService): Promise<void> {
    const { ways, log } = this.#deps;
    try {
      await service[Symbol.asyncDispose]();
    } catch (error) {
      // A thread that hangs in native code cannot be ended: only the process can.
      if (error instanceof AppError && error.code === 'timeout') ways.onFatal(error);
      else log.warn(`the family before could not be released: ${describeError(error)}`);
    }
  }

  #throwIfClosing(): void {
    if (this.#closing.signal.aborted) throw stopping();
  }
}

function stopping(): AppError {
  return new AppError('conflict', 'the agent is stopping');
}
