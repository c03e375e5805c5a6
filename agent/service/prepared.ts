import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import type { FrameAnswered } from '../runtime/loop.ts';
import { type Agreement, type CompareOptions, compareAnswers } from './compare.ts';
import { type Costs, measureCosts } from './costs.ts';
import type { AwaitGap } from './gaps.ts';
import { haveSameLabels, type Serving } from './load-family.ts';
import { warmUp } from './prepare.ts';
import type { OwnedService } from './service.ts';

/** A family that is ready to serve. Disposing of one that was not activated releases all of it. */
export interface PreparedFamily extends AsyncDisposable {
  readonly family: Family;
  /**
   * What its best level takes beside that of the family that serves, run in turn in idle time. Undefined where that
   * cannot be measured now.
   * @throws what a run throws; the signal's reason when it aborts
   */
  costs(signal: AbortSignal): Promise<Costs | undefined>;
  /**
   * Its best level on frames that the serving family answered, in idle time: share of equal answers. Undefined
   * where the labels differ or no frame came in time.
   * @throws what a run throws; the signal's reason when it aborts
   */
  compare(options: CompareOptions): Promise<Agreement | undefined>;
  /**
   * Takes the place of the family that serves, between two frames: none is lost. The family before is released
   * afterwards, in the background; the next preparation waits for that.
   * @throws AppError `conflict` when it was activated or disposed of before, or the agent stops
   */
  activate(): Promise<void>;
}

export interface PreparedDeps {
  /** The family that serves until then. */
  readonly before: Serving;
  readonly service: OwnedService;
  readonly clock: Clock;
  /** Ends what is under way: the agent stops. */
  readonly closing: AbortSignal;
  readonly awaitGap: AwaitGap;
  readonly listen: (hear: (answered: FrameAnswered) => void) => () => void;
  /** Puts it in the place of the family that serves, between two frames. */
  readonly swap: (service: OwnedService) => Promise<void>;
  /** It is not beside the family that serves any more: it serves itself, or is released. */
  readonly onLeft: () => void;
}

/** Room for the swap itself, in the time between two frames. */
const SWAP_MS = 5;

/** Makes a prepared family of a service that runs nothing yet. */
export function preparedFamily(deps: PreparedDeps): PreparedFamily {
  const { before, service, clock, closing, awaitGap } = deps;
  const { serving } = service;
  let state: 'ready' | 'being activated' | 'activated' | 'released' = 'ready';
  let activating: Promise<void> = Promise.resolve();
  const swap = async (): Promise<void> => {
    // It may have been loaded a while ago, and have gone cold.
    await warmUp(serving, { awaitIdle: (expectedMs) => awaitGap(expectedMs, closing) });
    await awaitGap(SWAP_MS, closing);
    await deps.swap(service);
  };
  const activate = async (): Promise<void> => {
    if (state !== 'ready')
      throw new AppError('conflict', `${serving.family.manifest.name}: it was ${state} before`);
    state = 'being activated';
    try {
      await swap();
    } catch (error) {
      state = 'ready';
      throw error;
    }
    state = 'activated';
    deps.onLeft();
  };
  const release = async (): Promise<void> => {
    await activating;
    if (state !== 'ready') return;
    state = 'released';
    try {
      await service[Symbol.asyncDispose]();
    } finally {
      deps.onLeft();
    }
  };
  return {
    family: serving.family,
    costs: async (given) => {
      const signal = AbortSignal.any([given, closing]);
      const awaitIdle = (expectedMs: number): Promise<void> => awaitGap(expectedMs, signal);
      return await measureCosts({ serving: before, candidate: serving, awaitIdle, signal });
    },
    compare: async (options) => {
      if (!haveSameLabels(before.family.manifest.labels, serving.family)) return undefined;
      const signal = AbortSignal.any([options.signal, closing]);
      const awaitIdle = (expectedMs: number): Promise<void> => awaitGap(expectedMs, signal);
      const { listen } = deps;
      const of = { clock, serving: before, candidate: serving, awaitIdle, listen };
      return await compareAnswers(of, { ...options, signal });
    },
    activate: () => {
      const mine = activate();
      activating = Promise.allSettled([activating, mine]).then(() => undefined);
      return mine;
    },
    [Symbol.asyncDispose]: release,
  };
}
