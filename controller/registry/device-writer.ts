import { type BackoffPolicy, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { Presence, StoredDevice } from '../history/device-store.ts';
import type { History } from '../history/history.ts';

/** Changes wait this long for others, to be written together. */
const GATHER_MS = 100;
const RETRY: BackoffPolicy = { firstMs: 500, capMs: 10_000 };
const CONFLICT = 'two programs announce themselves in turn under this id; give one of them another';

export interface DeviceWriterDeps {
  readonly history: Pick<History, 'devices' | 'events' | 'transaction'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Called with devices that are new, after they are stored; called again when it throws. */
  readonly onNew: (devices: readonly string[]) => void;
  readonly get: (id: string) => StoredDevice | undefined;
}

/** What waits to be written of one device. */
interface DeviceChange {
  readonly presence?: Presence;
  readonly reported?: Reported;
  /** A conflict of identity begins. */
  readonly conflict?: boolean;
}

/** Writes what devices say of themselves, many at once, and again when it fails: a full disk stops no reading. */
export interface DeviceWriter {
  start(): void;
  stop(): Promise<void>;
  add(id: string): void;
  change(id: string, change: DeviceChange): void;
  /** A report that waits to be written. */
  reported(id: string): Reported | undefined;
}

export function createDeviceWriter(deps: DeviceWriterDeps): DeviceWriter {
  const { clock, random, log } = deps;
  const changes = new Map<string, DeviceChange>();
  const added = new Set<string>();
  const stopping = new AbortController();
  let wake = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  const write = (): void => {
    if (changes.size > 0) deps.history.transaction(() => writeAll(deps, changes));
    changes.clear();
    if (added.size > 0) deps.onNew([...added]);
    added.clear();
  };
  const loop = async (signal: AbortSignal): Promise<void> => {
    signal.addEventListener('abort', () => wake.resolve(), { once: true });
    while (!signal.aborted) {
      if (changes.size + added.size === 0) await wake.promise;
      await clock.sleep(GATHER_MS, signal);
      wake = Promise.withResolvers();
      write();
    }
  };
  const change = (id: string, more: DeviceChange): void => {
    const old = changes.get(id);
    changes.set(id, { ...old, ...more, conflict: old?.conflict === true || more.conflict === true });
    wake.resolve();
  };

  return {
    start: () => {
      const onFault = (error: unknown) => log.error({ err: error }, 'devices cannot be stored; trying again');
      running = supervise(loop, stopping.signal, { clock, random, policy: RETRY, onFault });
    },
    stop: async () => {
      stopping.abort();
      await running;
      try {
        write();
      } catch (error) {
        log.warn({ err: error }, 'the last changes of devices were not stored');
      }
    },
    add: (id) => {
      added.add(id);
      change(id, {});
    },
    change,
    reported: (id) => changes.get(id)?.reported,
  };
}

function writeAll(
  { history, get, clock }: DeviceWriterDeps,
  changes: ReadonlyMap<string, DeviceChange>,
): void {
  const { devices, events } = history;
  for (const [id, { presence, reported, conflict }] of changes) {
    const device = get(id);
    if (device === undefined) continue;
    devices.seen(id, device.lastSeenTs);
    if (presence !== undefined) devices.savePresence(id, presence);
    if (reported !== undefined) devices.saveReported(id, reported);
    if (conflict === true) {
      events.raise({ device: id, ts: clock.now(), what: 'identity conflict', reason: CONFLICT });
    }
  }
}
