import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import {
  type AlertInputs,
  type DeviceFacts,
  digestOf,
  type LatestWindow,
  type ReportDigest,
} from './facts.ts';

/** Devices whose newest windows are asked for at once. */
const LATEST_CHUNK = 1_000;
/** Reports that are read from the store in one look: each is parsed, and that holds up the thread. */
const REPORTS_PER_LOOK = 50;

/** The fleet as it is known. */
export interface KnownDevices {
  all(): Iterable<{ readonly id: string; readonly firstSeenTs: number }>;
  isContested(id: string): boolean;
  reported(id: string): Reported | undefined;
}

export interface GathererDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly devices: KnownDevices;
  readonly latest: (devices: readonly string[]) => Promise<Readonly<Record<string, LatestWindow>>>;
  /** Why nothing can be stored now. */
  readonly stalled: () => string | undefined;
  /** Whether there is a connection to the broker. */
  readonly connected: () => boolean;
}

export interface Gatherer {
  onNewest(newest: readonly { readonly device: string }[]): void;
  onReported(device: string, reported: Reported): void;
  /** All that is known now. What cannot be read is as it was. */
  gather(): Promise<AlertInputs>;
}

/** Keeps of each device what rules go by, and reads again only what has changed. */
export function createGatherer({ clock, log, ...deps }: GathererDeps): Gatherer {
  const latest = createLatest({ ...deps, log });
  const reports = new Map<string, ReportDigest | undefined>();
  const arrivedMs = new Map<string, number>();
  let hearingSinceMs: number | undefined;

  const factsOf = (id: string, firstSeenTs: number): DeviceFacts => {
    const arrived = arrivedMs.get(id);
    return {
      id,
      firstSeenTs,
      identityConflict: deps.devices.isContested(id),
      latest: latest.of(id),
      arrivedAgoMs: arrived === undefined ? undefined : clock.monoMs() - arrived,
      report: reports.get(id),
    };
  };
  /** What is missing is read little by little; what comes later is told. */
  const readReports = (ids: readonly string[]): void => {
    for (const id of ids.filter((each) => !reports.has(each)).slice(0, REPORTS_PER_LOOK)) {
      const reported = deps.devices.reported(id);
      reports.set(id, reported === undefined ? undefined : digestOf(reported));
    }
  };
  return {
    onNewest: (newest) => {
      for (const { device } of newest) {
        arrivedMs.set(device, clock.monoMs());
        latest.changed(device);
      }
    },
    onReported: (device, reported) => {
      reports.set(device, digestOf(reported));
    },
    gather: async () => {
      const known = [...deps.devices.all()];
      const ids = known.map(({ id }) => id);
      await latest.refresh(ids);
      readReports(ids);
      const stalled = deps.stalled() ?? (deps.connected() ? undefined : 'no connection to the broker');
      hearingSinceMs = stalled === undefined ? (hearingSinceMs ?? clock.monoMs()) : undefined;
      return {
        devices: known.map(({ id, firstSeenTs }) => factsOf(id, firstSeenTs)),
        hearingMs: hearingSinceMs === undefined ? 0 : clock.monoMs() - hearingSinceMs,
        stalled,
      };
    },
  };
}

/** The newest windows, read again where others have come. */
function createLatest({ latest, log }: Pick<GathererDeps, 'latest' | 'log'>) {
  const windows = new Map<string, LatestWindow | undefined>();
  const stale = new Set<string>();

  const read = async (ids: readonly string[]): Promise<void> => {
    for (const id of ids) stale.delete(id);
    try {
      const found = await latest(ids);
      // A device may be called `constructor`.
      for (const id of ids) windows.set(id, Object.hasOwn(found, id) ? found[id] : undefined);
    } catch (error) {
      for (const id of ids) stale.add(id);
      log.warn({ reason: describeError(error) }, 'the newest windows cannot be read for alerts');
    }
  };
  return {
    of: (id: string) => windows.get(id),
    changed: (id: string) => {
      stale.add(id);
    },
    refresh: async (ids: readonly string[]): Promise<void> => {
      const wanted = ids.filter((id) => stale.has(id) || !windows.has(id));
      for (let from = 0; from < wanted.length; from += LATEST_CHUNK) {
        await read(wanted.slice(from, from + LATEST_CHUNK));
      }
    },
  };
}
