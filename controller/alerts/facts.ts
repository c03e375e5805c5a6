import type { Reported } from '../../shared/protocol/reported.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';

/** What rules go by, of the newest window of a device. */
export interface LatestWindow {
  readonly ts: number;
  readonly durationMs: number;
  readonly inferences: number;
  readonly misses: number;
  readonly requirement: Requirement;
  /** Of most inferences; null when there were none. */
  readonly pe?: ProcessingElement | null | undefined;
  readonly drifting?: boolean | undefined;
  readonly outboxAgeMs?: number | undefined;
}

/** What rules go by, of a device's report: a report as a whole is large, and there are many devices. */
export interface ReportDigest {
  /** Length of its windows, milliseconds. */
  readonly windowMs: number | undefined;
  /** Operating points on the GPU, and how many of them can be chosen. */
  readonly gpuPoints: number;
  readonly usableGpuPoints: number;
  /** Why the first that cannot be chosen cannot. */
  readonly gpuReason: string | undefined;
}

/** What is known of a device now. */
export interface DeviceFacts {
  readonly id: string;
  readonly firstSeenTs: number;
  /** Two programs use its identity in turn. */
  readonly identityConflict: boolean;
  readonly latest: LatestWindow | undefined;
  /** How long ago a window of it was stored, milliseconds; undefined when none was since the controller runs. */
  readonly arrivedAgoMs: number | undefined;
  readonly report: ReportDigest | undefined;
}

export interface AlertInputs {
  /** Every device that is known. */
  readonly devices: Iterable<DeviceFacts>;
  /** For how long windows could have come without interruption, milliseconds; 0 when they cannot now. */
  readonly hearingMs: number;
  /** Why nothing can be stored now. */
  readonly stalled: string | undefined;
}

/** What rules need of a report. */
export function digestOf({
  settings,
  operatingPoints,
}: Pick<Reported, 'settings' | 'operatingPoints'>): ReportDigest {
  const gpu = operatingPoints.filter(({ pe }) => pe === 'gpu');
  const unusable = gpu.filter(({ usable, quarantined }) => usable === false || quarantined !== undefined);
  return {
    windowMs: settings.windowMs,
    gpuPoints: gpu.length,
    usableGpuPoints: gpu.length - unusable.length,
    gpuReason: unusable.find(({ quarantined }) => quarantined !== undefined)?.quarantined,
  };
}
