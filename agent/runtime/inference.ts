import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { Engine } from '../engine/engine.ts';
import type { OperatingPoint, Profile } from './points.ts';
import type { Decision, RunningPolicy } from './policy.ts';

/** A frame that asks for an answer. */
export interface InferenceRequest {
  /** Only to be read, and only until the answer. */
  readonly pixels: Uint8Array;
  /** Monotonic time from which its latency counts. */
  readonly arrivedMs: number;
  /** Raises or lowers fields of the requirement in force, for this request alone. */
  readonly requirement?: Requirement;
  /** Time from the arrival within which the answer is wanted; it overrides the latency budget. */
  readonly deadlineMs?: number;
}

interface Decided {
  readonly decision: Decision;
  /** What the decision was made under. */
  readonly requirement: Requirement;
  readonly profile: Profile;
  /** Deadline or latency budget, from the arrival; infinite without either. */
  readonly budgetMs: number;
}

/** An answer. */
export interface InferenceDone extends Decided {
  readonly kind: 'done';
  readonly point: OperatingPoint;
  /** Index of the point in the profile. */
  readonly index: number;
  readonly logits: Float32Array;
  /** From the arrival to the answer. */
  readonly latencyMs: number;
  /** The inference alone. */
  readonly runMs: number;
  readonly missed: boolean;
  /** Monotonic time of the answer. */
  readonly nowMs: number;
}

/** A frame that was given up: not even the fastest point would have been in time, or none can run. */
export interface InferenceShed extends Decided {
  readonly kind: 'shed';
  readonly nowMs: number;
}

export type InferenceOutcome = InferenceDone | InferenceShed;

export interface InferencerDeps {
  readonly engine: Pick<Engine, 'run' | 'isWarm'>;
  readonly policy: RunningPolicy;
  /** Asked at every decision: accuracies and energies change while the agent runs. */
  readonly profile: () => Profile;
  readonly requirement: () => Requirement;
  readonly clock: Clock;
  /** A point whose runs keep failing is not chosen any more while there is another one. */
  readonly onUnusable: (index: number, reason: string) => void;
  /** Such a point has run well again: it was the last resort. */
  readonly onUsable?: (index: number) => void;
}

/** Answers frames one after the other, each on the operating point that the policy picks when its turn comes. */
export interface Inferencer {
  /**
   * @throws AppError `conflict` when too many requests wait already, and what the engine throws when the run
   * fails
   */
  infer(request: InferenceRequest): Promise<InferenceOutcome>;
  /** Whether no request waits or runs. */
  isIdle(): boolean;
  /** Requests that wait for their turn; the one that runs is not among them. */
  waiting(): number;
}

/** Requests under way or waiting: each is a frame in memory, and what waits for so many is stale. */
const MAX_WAITING = 64;
/** Runs of a point that fail in a row before it is given up. */
const MAX_FAILURES = 3;

/** Which points can be run now, and the runs themselves. */
function createRunner({ engine, onUnusable, onUsable }: InferencerDeps) {
  /** Failed runs in a row. */
  const failures = new Map<number, number>();
  const isFit = (index: number): boolean => (failures.get(index) ?? 0) < MAX_FAILURES;
  const succeeded = (index: number): void => {
    const wasFit = isFit(index);
    failures.delete(index);
    if (!wasFit) onUsable?.(index);
  };
  const failed = (index: number, error: unknown): void => {
    // That the engine is full, or has just unloaded it, says nothing of the point.
    if (error instanceof AppError && error.code === 'conflict') return;
    const count = (failures.get(index) ?? 0) + 1;
    failures.set(index, count);
    if (count === MAX_FAILURES) onUnusable(index, describeError(error));
  };
  return {
    usable: (profile: Profile): boolean[] => {
      const warm = profile.map((_, index) => engine.isWarm(index));
      const fit = warm.map((isWarm, index) => isWarm && isFit(index));
      // When all of them fail it is hardly the points, and one that is tried can come back.
      return fit.includes(true) ? fit : warm;
    },
    run: async (index: number, pixels: Uint8Array): Promise<Float32Array> => {
      try {
        const { logits } = await engine.run(index, pixels);
        succeeded(index);
        return logits;
      } catch (error) {
        failed(index, error);
        throw error;
      }
    },
  };
}

/** Makes an inferencer. */
export function createInferencer(deps: InferencerDeps): Inferencer {
  const runner = createRunner(deps);
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  const turn = async (request: InferenceRequest): Promise<InferenceOutcome> => {
    const { clock, policy } = deps;
    const profile = deps.profile();
    const requirement = { ...deps.requirement(), ...request.requirement };
    const { arrivedMs, deadlineMs } = request;
    const decidedMs = clock.monoMs();
    const situation = { requirement, nowMs: decidedMs, arrivedMs, usable: runner.usable(profile) };
    const decision = policy.decide(
      deadlineMs === undefined ? situation : { ...situation, deadlineMs },
      profile,
    );
    const budgetMs = deadlineMs ?? requirement.latencyMs ?? Number.POSITIVE_INFINITY;
    const decided = { decision, requirement, profile, budgetMs };
    const index = decision.point;
    const point = index === undefined ? undefined : profile[index];
    if (index === undefined || point === undefined) return { kind: 'shed', ...decided, nowMs: decidedMs };
    // The decision is not part of what the profile was measured to take.
    const startedMs = clock.monoMs();
    const logits = await runner.run(index, request.pixels);
    const nowMs = clock.monoMs();
    const runMs = nowMs - startedMs;
    policy.observe(
      {
        kind: 'inference',
        point: index,
        latencyMs: runMs,
        startedMs,
        nowMs,
        budgetMs: Number.isFinite(budgetMs) ? budgetMs : undefined,
        requirement,
      },
      profile,
    );
    const latencyMs = nowMs - arrivedMs;
    const missed = latencyMs > budgetMs;
    return { kind: 'done', ...decided, point, index, logits, latencyMs, runMs, missed, nowMs };
  };

  return {
    infer: async (request) => {
      if (waiting >= MAX_WAITING) {
        throw new AppError(
          'conflict',
          `${MAX_WAITING} requests wait already: ask again later, or less often`,
        );
      }
      waiting += 1;
      const mine = last.then(() => turn(request));
      last = mine.catch(() => undefined);
      try {
        return await mine;
      } finally {
        waiting -= 1;
      }
    },
    isIdle: () => waiting === 0,
    waiting: () => Math.max(0, waiting - 1),
  };
}
