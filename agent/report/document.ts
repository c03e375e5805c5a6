import { arch, availableParallelism, totalmem } from 'node:os';
import type { Family } from '../../shared/family/read.ts';
import { given } from '../../shared/given.ts';
import { onnxRuntimeVersion } from '../../shared/onnx.ts';
import { packageVersion } from '../../shared/package.ts';
import {
  type EnergyQuality,
  MAX_SENSORS,
  type ProfileInfo,
  type Reported,
  type ReportedPoint,
  type SensorHealth,
} from '../../shared/protocol/reported.ts';
import { MAX_REFUSALS, type Refusal, type Resolved } from '../desired/resolve.ts';
import { boardModel } from '../machine.ts';
import type { OperatingPoint } from '../runtime/points.ts';

/** What a report has room for, of each text that has to do with a point, a sensor or a profile. */
const MAX_SHORT_CHARACTERS = 200;
/** Operating points that a report has room for. */
const MAX_POINTS = 256;

/** An operating point with all that is known of it here. */
export interface PointState extends OperatingPoint {
  readonly energyQuality?: EnergyQuality;
  readonly threads?: number;
  readonly usable?: boolean;
  /** Why it is kept out of service. */
  readonly quarantined?: string | undefined;
}

/** What of a report does not change while the agent runs. */
export type FixedReport = Pick<Reported, 'v' | 'bootId' | 'software' | 'hardware'>;

/** Makes the fixed part. */
export function fixedReport(bootId: string): FixedReport {
  return {
    v: 1,
    bootId,
    software: { agent: packageVersion(), node: process.versions.node, onnxruntime: onnxRuntimeVersion() },
    hardware: { model: boardModel(), arch: arch(), cpus: availableParallelism(), memoryBytes: totalmem() },
  };
}

/** A family as it is reported. */
export function reportedFamily({ manifest, sha256 }: Family): Reported['family'] {
  const { name, version } = manifest;
  return { name, version, sha256 };
}

/** Operating points as they are reported: figures that mean something, and nothing of the rest. */
export function reportedPoints(points: readonly PointState[]): ReportedPoint[] {
  return points.slice(0, MAX_POINTS).map((point) => {
    const { pe, level, accuracy, latencyMs, energyJ, energyQuality, threads, usable, quarantined } = point;
    return {
      pe,
      level,
      accuracy,
      latencyMs: fourDigits(latencyMs),
      ...(energyJ === undefined ? {} : { energyJ: fourDigits(energyJ) }),
      ...(energyQuality === undefined ? {} : { energyQuality }),
      ...(threads === undefined ? {} : { threads }),
      ...(usable === undefined ? {} : { usable }),
      ...(quarantined === undefined ? {} : { quarantined: short(quarantined) }),
    };
  });
}

function fourDigits(value: number): number {
  return Number(value.toPrecision(4));
}

function short(text: string): string {
  return text.slice(0, MAX_SHORT_CHARACTERS);
}

export interface Changing {
  /** That serves now. */
  readonly family: Reported['family'];
  readonly resolved: Resolved;
  /** Refusals that have nothing to do with desired documents, such as a broken family. */
  readonly refused: readonly Refusal[];
  readonly rejected: Readonly<Record<string, number>>;
  /** Of that family, as they are now: measured anew, loaded, put into quarantine. */
  readonly points: readonly PointState[];
  readonly policy?: string;
  readonly profile?: ProfileInfo;
  readonly sensors?: readonly SensorHealth[];
  readonly install?: Reported['install'];
  /** Version of the keyring in force. */
  readonly keyring?: number | undefined;
}

/** The whole report. */
export function reportOf(fixed: FixedReport, changing: Changing): Reported {
  const { requirement, settings, sources, applied, refused } = changing.resolved;
  const { family, points, policy, profile, sensors, install, keyring } = changing;
  return {
    ...fixed,
    family,
    operatingPoints: reportedPoints(points),
    ...(policy === undefined ? {} : { policy }),
    ...(profile === undefined ? {} : { profile }),
    ...(sensors === undefined ? {} : { sensors: sensors.slice(0, MAX_SENSORS).map(reportedSensor) }),
    ...given({ install, keyring }),
    applied,
    requirement,
    settings,
    sources,
    refused: [...changing.refused, ...refused].slice(0, MAX_REFUSALS),
    rejected: changing.rejected,
  };
}

function reportedSensor({ name, state, reason }: SensorHealth): SensorHealth {
  return {
    name: name.slice(0, 128),
    state: state.slice(0, 32),
    ...(reason === undefined || reason === '' ? {} : { reason: short(reason) }),
  };
}
