import type { Clock } from '../../shared/clock.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { AuditView } from '../audit/estimate.ts';
import { type LearntEnergy, withEnergy } from '../energy/learner.ts';
import type { Engine } from '../engine/engine.ts';
import type { PointState } from '../report/document.ts';
import type { FrameAnswered } from '../runtime/loop.ts';
import type { Profile } from '../runtime/points.ts';
import type { SensorReading } from '../sensors/reading.ts';
import type { ReferenceStore, References } from './audit-references.ts';
import { type Auditor, createAuditor, type DriftChange } from './auditor.ts';
import { createEnergyMeter, type EnergyMeter } from './energy-meter.ts';
import { held } from './held.ts';
import type { IdleTask } from './idle-work.ts';
import type { Audited } from './listener.ts';

export interface WatchingDeps {
  readonly engine: Pick<Engine, 'run' | 'isWarm'>;
  /** As it was measured. */
  readonly profile: () => Profile;
  /** Of the manifest, by level. */
  readonly levels: readonly { readonly accuracy: number; readonly accuracyImages?: number | undefined }[];
  readonly energyModel: { readonly idleW: number | null; readonly activeW: number | null };
  readonly auditShare: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly requirement: () => Requirement;
  readonly onDrift: (change: DriftChange) => void;
  readonly onAudited?: (audited: Audited) => void;
  readonly onAuditFailed: (error: unknown) => void;
  /** What earlier starts have learnt of this family's confidences. */
  readonly references: ReferenceStore;
  /** What was learnt cannot be kept: the disk is full. */
  readonly onNotKept: (error: unknown) => void;
  /** Latency as a multiple of the profile. */
  readonly slowdown: () => number;
}

/** What is learnt of the family while it serves: what its levels cost, and what they are worth in the field. */
export interface Watching {
  /** The profile to choose from: with the energies that were learnt, and accuracies as they are weighed. */
  profile(): Profile;
  /** The requirement to choose under. */
  requirement(): Requirement;
  seen(answered: Pick<FrameAnswered, 'index' | 'runMs' | 'point' | 'logits' | 'pixels'>): void;
  /** @param isDisturbed whether the engine had other work than frames and audits */
  reading(reading: SensorReading, isDisturbed: boolean): void;
  /**
   * Energy of one run above idle, joules: that of the point, scaled by how long it ran. Undefined where the
   * point's is not known.
   */
  energyOf(index: number, runMs: number): number | undefined;
  /** How the energy of each point is known. */
  energyQualities(): readonly PointState['energyQuality'][];
  audit(): AuditView & { readonly dropped: number };
  readonly auditTask: IdleTask;
}

/** Energies and accuracies change slowly; a decision must not wait for their sums. */
const HOLDS_MS = 500;

/** Makes the watch over a family. */
export function createWatching(deps: WatchingDeps): Watching {
  const { clock, levels, engine, energyModel } = deps;
  const { idleW, activeW } = energyModel;
  const energy = createEnergyMeter(deps.profile(), {
    ...(idleW === null ? {} : { idleW }),
    ...(activeW === null ? {} : { activeW }),
  });
  const keep = (references: References): void => {
    try {
      deps.references.save(references);
    } catch (error) {
      deps.onNotKept(error);
    }
  };
  const auditor = createAuditor({
    engine,
    options: { levels, share: deps.auditShare, references: deps.references.load() },
    random: deps.random,
    onDrift: deps.onDrift,
    onLearnt: keep,
    ...(deps.onAudited === undefined ? {} : { onAudited: deps.onAudited }),
  });
  const stated = levels.map(({ accuracy }) => accuracy);
  /** What a meter measured in the profile goes before what a model says. */
  const energies = (): readonly LearntEnergy[] => {
    const { points } = energy.view();
    return deps.profile().map(({ energyJ }, index): LearntEnergy => {
      const learnt = points[index] ?? { energyJ: undefined, standardErrorJ: undefined, quality: 'unknown' };
      if (energyJ === undefined || learnt.quality === 'measured') return learnt;
      return { energyJ, standardErrorJ: undefined, quality: 'measured' };
    });
  };
  /** Power above idle while a point runs, watts. */
  const powers = held(
    clock,
    HOLDS_MS,
    () => powersOf(deps.profile(), energies(), energy.runsMs()),
    deps.profile,
  );
  const weighed = (): Profile => {
    const accuracies = auditor.accuracies(stated);
    return withEnergy(deps.profile(), { points: energies() }).map((point) => ({
      ...point,
      accuracy: accuracies[point.level] ?? point.accuracy,
    }));
  };
  const requirement = (): Requirement => {
    const inForce = deps.requirement();
    // While it is not known what the levels are worth, accuracy is not sold for energy.
    return inForce.price !== undefined && auditor.view().freezeDown ? { ...inForce, price: 0 } : inForce;
  };
  return {
    profile: held(clock, HOLDS_MS, weighed, deps.profile),
    requirement: held(clock, HOLDS_MS, requirement, deps.requirement),
    seen: (answered) => {
      energy.inference(answered.index, answered.runMs);
      auditor.seen(answered);
    },
    reading: energy.reading,
    energyOf: (index, runMs) => {
      const watts = powers()[index];
      return watts === undefined ? undefined : (watts * runMs) / 1_000;
    },
    energyQualities: () => energies().map(({ quality }) => quality),
    audit: auditor.view,
    auditTask: auditTaskOf(deps, auditor, energy),
  };
}

/**
 * What was learnt while the agent serves goes with the runs of late, what a meter measured in the profile with
 * the profile's: a slowdown must not count twice.
 */
function powersOf(
  profile: Profile,
  energies: readonly LearntEnergy[],
  runsMs: readonly number[],
): readonly (number | undefined)[] {
  return profile.map((point, index) => {
    const energyJ = energies[index]?.energyJ;
    const ofMs = energyJ === point.energyJ ? point.latencyMs : (runsMs[index] ?? point.latencyMs);
    return energyJ === undefined || !(ofMs > 0) ? undefined : (energyJ * 1_000) / ofMs;
  });
}

/** Audits wait for real gaps: they are a sample, and need not be of a busy time. */
function auditTaskOf(
  { profile, slowdown, onAuditFailed }: WatchingDeps,
  auditor: Auditor,
  energy: EnergyMeter,
): IdleTask {
  return {
    wantsMs: () => {
      const index = auditor.next(profile());
      return index === undefined ? undefined : (profile()[index]?.latencyMs ?? 0) * slowdown();
    },
    run: async () => {
      const index = auditor.next(profile());
      if (index !== undefined) energy.inference(index, await auditor.audit(index));
    },
    onFailed: onAuditFailed,
  };
}
