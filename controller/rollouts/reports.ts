import type { InstallReport, ReleaseKind } from '../../shared/protocol/release.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { Devices } from '../registry/devices.ts';
import type { DeviceFacts } from './facts.ts';

/** What rollouts need of a device's report; a report as a whole is large. */
export interface ReportFacts extends Pick<DeviceFacts, 'familySha256' | 'gpuPoints' | 'windowMs'> {
  readonly install: Readonly<Partial<Record<ReleaseKind, InstallReport | undefined>>>;
}

export interface Reports {
  of(device: string): ReportFacts;
  /** Takes a newer report. Returns whether rollouts see anything new in it. */
  take(device: string, reported: Reported): boolean;
  /** Forgets those that nobody asks about any more. */
  keepOnly(isWanted: (device: string) => boolean): void;
}

/** Where a device does not say how long its windows are. */
const USUAL_WINDOW_MS = 10_000;
const NOTHING: ReportFacts = { install: {}, windowMs: USUAL_WINDOW_MS };

/** Reports of the devices that rollouts are about: read once, then followed. */
export function createReports(devices: Pick<Devices, 'reported'>): Reports {
  const known = new Map<string, ReportFacts>();
  return {
    of: (device) => {
      const old = known.get(device);
      if (old !== undefined) return old;
      const reported = devices.reported(device);
      const facts = reported === undefined ? NOTHING : factsOf(reported);
      known.set(device, facts);
      return facts;
    },
    take: (device, reported) => {
      const old = known.get(device);
      if (old === undefined) return false;
      const facts = factsOf(reported);
      known.set(device, facts);
      return JSON.stringify(old) !== JSON.stringify(facts);
    },
    keepOnly: (isWanted) => {
      for (const device of known.keys()) if (!isWanted(device)) known.delete(device);
    },
  };
}

function factsOf({ family, operatingPoints, install, settings }: Reported): ReportFacts {
  const gpuPoints = operatingPoints.filter(({ pe, usable }) => pe === 'gpu' && usable !== false).length;
  return {
    familySha256: family.sha256,
    // A device that is about to measure its points has none yet: that says nothing of its GPU.
    gpuPoints: operatingPoints.length === 0 ? undefined : gpuPoints,
    windowMs: settings.windowMs ?? USUAL_WINDOW_MS,
    install: install ?? {},
  };
}
