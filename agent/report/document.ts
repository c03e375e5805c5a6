import { readFileSync } from 'node:fs';
import { arch, availableParallelism, totalmem } from 'node:os';
import type { Family } from '../../shared/family/read.ts';
import { onnxRuntimeVersion } from '../../shared/onnx.ts';
import { packageVersion } from '../../shared/package.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import { MAX_REFUSALS, type Refusal, type Resolved } from '../desired/resolve.ts';
import type { Profile } from '../runtime/manager.ts';

/** The board's name as the firmware gives it; a generic name where there is none. */
function hardwareModel(): string {
  try {
    const model = readFileSync('/sys/firmware/devicetree/base/model', 'utf8');
    return model.replaceAll('\0', '').trim() || 'unknown';
  } catch {
    return `generic ${arch()}`;
  }
}

/** What of a report does not change while the agent runs. */
export function fixedReport(bootId: string, family: Family, profile: Profile) {
  const { name, version } = family.manifest;
  return {
    v: 1,
    bootId,
    software: { agent: packageVersion(), node: process.versions.node, onnxruntime: onnxRuntimeVersion() },
    hardware: { model: hardwareModel(), arch: arch(), cpus: availableParallelism(), memoryBytes: totalmem() },
    family: { name, version, sha256: family.sha256 },
    operatingPoints: profile.map((point) => ({
      ...point,
      latencyMs: Number(point.latencyMs.toPrecision(4)),
    })),
  } as const;
}

export interface Changing {
  readonly resolved: Resolved;
  /** Refusals that have nothing to do with desired documents, such as a broken family. */
  readonly refused: readonly Refusal[];
  readonly rejected: Readonly<Record<string, number>>;
}

/** The whole report. */
export function reportOf(fixed: ReturnType<typeof fixedReport>, changing: Changing): Reported {
  const { requirement, settings, sources, applied, refused } = changing.resolved;
  return {
    ...fixed,
    operatingPoints: [...fixed.operatingPoints],
    applied,
    requirement,
    settings,
    sources,
    refused: [...changing.refused, ...refused].slice(0, MAX_REFUSALS),
    rejected: changing.rejected,
  };
}
