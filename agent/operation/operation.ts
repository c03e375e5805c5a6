import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Manifest } from '../../shared/family/manifest.ts';
import type { Logger } from '../../shared/log.ts';
import type { EventBody } from '../../shared/protocol/event.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { ManagerConfig } from '../config-parts.ts';
import type { Engine } from '../engine/engine.ts';
import type { FrameSource } from '../frames/source.ts';
import { memoryCosts } from '../profile/memory-costs.ts';
import type { PointState } from '../report/document.ts';
import { createInferencer, type Inferencer } from '../runtime/inference.ts';
import { createFrameLoop, type FrameAnswered, type FrameLoop } from '../runtime/loop.ts';
import type { Profile } from '../runtime/points.ts';
import { policyOf } from '../runtime/policies/registry.ts';
import type { PolicyView, RunningPolicy } from '../runtime/policy.ts';
import type { SensorReading } from '../sensors/reading.ts';
import type { Serving } from '../service/load-family.ts';
import type { ReferenceStore } from './audit-references.ts';
import { type ClimbWatch, createClimbWatch } from './climb.ts';
import { endsOfDrift, staleEvent } from './drift-events.ts';
import { createIdleWork } from './idle-work.ts';
import type { OperationKnowledge, OperationListener } from './listener.ts';
import { createMemoryWatch, type MemoryWatch } from './memory.ts';
import { pointStates } from './point-states.ts';
import { createProfileKeeper, type ProfileKeeper, type StaleProfile } from './profile-keeper.ts';
import { tellManager } from './sensing.ts';
import { createWarmKeeper, type WarmKeeper } from './warm-keeper.ts';
import { createWatching, type Watching } from './watching.ts';

/** What is operated, of a family in service. */
export interface OperatedFamily extends Pick<Serving, 'points' | 'profile' | 'profiler'> {
  readonly engine: Pick<Engine, 'run' | 'load' | 'unload' | 'isWarm'>;
  readonly frames: Pick<FrameSource, 'next'>;
  readonly family: { readonly manifest: Pick<Manifest, 'levels'> };
}

export interface OperationDeps {
  readonly serving: OperatedFamily;
  readonly config: ManagerConfig & { readonly engine: { readonly memoryBytes: number | null } };
  readonly clock: Clock;
  /** Evenly distributed, 0 to below 1. */
  readonly random: () => number;
  readonly log: Logger;
  readonly requirement: () => Requirement;
  readonly frameRate: () => number;
  /** Hears of every answer, after the listener has. */
  readonly onAnswered?: (answered: FrameAnswered) => void;
  /** Makes the listener, given what it may ask. */
  readonly listen: (knowledge: OperationKnowledge) => OperationListener;
  readonly event: (body: EventBody) => void;
  /** Something that is reported has changed. */
  readonly onChanged: () => void;
  /** What earlier starts have learnt of this family's confidences. */
  readonly references: ReferenceStore;
  /** Ends what is under way in the background. */
  readonly signal: AbortSignal;
}

/** A family in operation: the manager that chooses, and all that it goes by. */
export interface Operation {
  /** Name of the policy in force. */
  readonly policy: string;
  readonly loop: FrameLoop;
  /** Takes in what the sensors say. @param isDisturbed whether another family was at work as well */
  readonly reading: (reading: SensorReading, isDisturbed?: boolean) => void;
  /** Takes in what they said last before it began to serve: a hot device is not forgotten with a family. */
  readonly begins: (reading: SensorReading) => void;
  /** Tells the end of what lasted: the family serves no more. */
  readonly ends: () => void;
  readonly profileKeeper: ProfileKeeper;
  /** The profile that is chosen from. */
  readonly profile: () => Profile;
  /** The same with all that is known of each point. */
  readonly points: () => PointState[];
  readonly view: () => PolicyView;
  readonly audit: Watching['audit'];
  /** Resolves when nothing is under way in the background any more, after its signal aborted. */
  readonly settled: () => Promise<void>;
}

/** What the parts share. */
interface Parts {
  readonly deps: OperationDeps;
  readonly told: OperationListener;
  readonly policy: RunningPolicy;
  readonly watching: Watching;
  readonly inferencer: Inferencer;
  readonly profileKeeper: ProfileKeeper;
  readonly climb: ClimbWatch;
  readonly warmKeeper: WarmKeeper;
}

/** Above this share of time in which processes wait for a processor, other load is about. */
const CALM_PRESSURE = 0.1;
const CALM_BUSY = 0.6;
/** What an event has room for. */
const MAX_REASON = 1_000;

/**
 * Joins manager, engine, sensors, audits and profile; starts nothing.
 * @throws AppError `usage` when there is no policy of the configured name
 */
export function createOperation(deps: OperationDeps): Operation {
  const { serving, config, clock } = deps;
  const policy = policyOf(config.manager.policy).start(serving.profiler.profile());
  const told = deps.listen({
    view: policy.view,
    energyOf: (index, runMs) => watching.energyOf(index, runMs),
  });
  const watching = watch(deps, policy, told);
  const unusable = new Map<number, string>();
  const isUsable = (index: number): boolean => serving.engine.isWarm(index) && !warmKeeper.isBorrowed(index);
  const inferencer = createInferencer({
    engine: { run: (index, frame) => serving.engine.run(index, frame), isWarm: isUsable },
    policy,
    profile: watching.profile,
    requirement: watching.requirement,
    clock,
    ...takingOut(deps, unusable),
  });
  const memory = createMemoryWatch(clock);
  let latest: SensorReading | undefined;
  const idle = (expectedMs: number): boolean =>
    inferencer.isIdle() && !loop.isDoingIdleWork() && loop.leftMs() > expectedMs;
  const profileKeeper = keepProfile(deps, idle, () => latest);
  const climb = createClimbWatch(clock);
  const warmKeeper = keepWarm(deps, { policy, profileKeeper, memory, climb });
  const loop = loopOf({ deps, told, policy, watching, inferencer, profileKeeper, climb, warmKeeper });
  let runsBefore = 0;
  const sensed = (reading: SensorReading): void => {
    latest = reading;
    memory.reading(reading.memAvailableBytes);
    if (reading.powerMode !== undefined) profileKeeper.powerMode(reading.powerMode);
    tellManager(reading, policy, watching.profile());
  };
  return {
    policy: policy.name,
    loop,
    reading: (reading, isDisturbed = false) => {
      sensed(reading);
      const runs = profileKeeper.runs();
      watching.reading(reading, isDisturbed || runs !== runsBefore);
      runsBefore = runs;
      told.reading(reading, inferencer.waiting());
    },
    begins: (reading) => {
      // Its energy is of the family before, and a part of the next one's too.
      sensed({ ...reading, energyJ: undefined, energyOverMs: undefined });
      runsBefore = -1;
    },
    ends: () => endsOfDrift(watching.audit().drift, profileKeeper.stale()).forEach(deps.event),
    profileKeeper,
    profile: watching.profile,
    points: () => pointStates(watching, { points: serving.points, isUsable, unusable }),
    view: policy.view,
    audit: watching.audit,
    settled: profileKeeper.settled,
  };
}

function watch(
  { serving, config, log, event, ...deps }: OperationDeps,
  policy: RunningPolicy,
  told: Pick<OperationListener, 'audited'>,
): Watching {
  return createWatching({
    ...deps,
    engine: serving.engine,
    profile: serving.profiler.profile,
    levels: serving.family.manifest.levels,
    energyModel: config.energy,
    auditShare: config.audit.share,
    slowdown: () => policy.view().slowdown,
    onDrift: ({ state, level, reason }) => {
      log.warn({ level, state }, `accuracy: ${reason}`);
      event({ kind: 'drift', state, level, reason });
      deps.onChanged();
    },
    onAudited: told.audited,
    onAuditFailed: (error) => log.warn(`an audit failed: ${describeError(error)}`),
    onNotKept: (error) => log.warn(`what audits have learnt cannot be kept: ${describeError(error)}`),
  });
}

/** Tells of points whose runs fail, and keeps why. */
function takingOut({ serving, log, event, onChanged }: OperationDeps, unusable: Map<number, string>) {
  const tell = (index: number, state: 'begins' | 'ends', reason: string): void => {
    const { pe = 'cpu', level = index } = serving.profile[index] ?? {};
    log.warn({ pe, level, state }, reason);
    event({ kind: 'quarantine', state, pe, level, reason: reason.slice(0, MAX_REASON) });
    onChanged();
  };
  return {
    onUnusable: (index: number, error: string): void => {
      const reason = `its runs fail: ${error}`;
      unusable.set(index, reason);
      tell(index, 'begins', reason);
    },
    onUsable: (index: number): void => {
      unusable.delete(index);
      tell(index, 'ends', 'it runs again');
    },
  };
}

function keepProfile(
  { serving, clock, signal, log, event, onChanged }: OperationDeps,
  idle: (expectedMs: number) => boolean,
  reading: () => SensorReading | undefined,
): ProfileKeeper {
  const tell = (state: 'begins' | 'ends', stale: StaleProfile): void => event(staleEvent(state, stale));
  return createProfileKeeper({
    profiler: serving.profiler,
    clock,
    idle,
    calm: () => isCalm(reading()),
    signal,
    onStale: (stale) => {
      log.warn({ ...stale.point }, `the profile no longer fits, it is measured anew: ${stale.reason}`);
      tell('begins', stale);
      onChanged();
    },
    onMeasured: (was) => {
      log.info('there is another profile in force');
      if (was !== undefined) tell('ends', { ...was, reason: 'the profile was measured anew' });
      onChanged();
    },
    onFailed: (error) => {
      log.warn(`the profile cannot be measured anew: ${describeError(error)}`);
      onChanged();
    },
  });
}

function loopOf(parts: Parts): FrameLoop {
  const { deps, told, watching, inferencer, profileKeeper, climb, warmKeeper } = parts;
  const { clock, serving, frameRate } = deps;
  const idleWork = createIdleWork(clock, [warmKeeper, watching.auditTask]);
  return createFrameLoop({
    inferencer,
    frames: serving.frames,
    clock,
    frameRate,
    // Behind a run of a measurement a piece would end later than it says.
    idle: async (leftMs) => {
      if (!profileKeeper.isRunning()) await idleWork(leftMs);
    },
    listener: {
      ...told,
      inference: (answered) => {
        climb.decided(answered.decision.cause);
        watching.seen(answered);
        profileKeeper.inference(answered.index, answered.runMs);
        told.inference(answered);
        deps.onAnswered?.(answered);
      },
      shed: (shed) => {
        climb.decided(shed.decision.cause);
        told.shed(shed);
      },
    },
  });
}

interface WarmParts extends Pick<Parts, 'policy' | 'profileKeeper' | 'climb'> {
  readonly memory: MemoryWatch;
}

function keepWarm(
  { serving, config, log, onChanged }: OperationDeps,
  { policy, profileKeeper, memory, climb }: WarmParts,
): WarmKeeper {
  const { levels } = serving.family.manifest;
  return createWarmKeeper({
    engine: serving.engine,
    costs: memoryCosts(serving.profiler.info().points, levels),
    budgetBytes: config.engine.memoryBytes ?? Number.POSITIVE_INFINITY,
    current: () => policy.view().current,
    mayClimb: climb.mayClimb,
    isMemoryShort: memory.isShort,
    isMeasuring: profileKeeper.isMeasuring,
    onChanged,
    onUnloadable: (index, error) => {
      const { pe, level } = serving.profile[index] ?? {};
      log.warn({ pe, level }, `a level cannot be loaded: ${describeError(error)}`);
    },
    onFailed: (error) => log.warn(`a level cannot be given up: ${describeError(error)}`),
  });
}

function isCalm(reading: SensorReading | undefined): boolean {
  if (reading?.psi !== undefined) return reading.psi.cpu < CALM_PRESSURE;
  return (reading?.cpuBusy ?? 1) < CALM_BUSY;
}
