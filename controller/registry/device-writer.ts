import { type BackoffPolicy, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { Presence, StoredDevice } from '../store/device-store.ts';
import type { FleetStore } from '../store/fleet-store.ts';

/** Changes wait this long for others, to be written together. */
const GATHER_MS = 100;
/** When a device was last seen is written this often: it changes with every window, and matters little. */
const SEEN_EVERY_MS = 10_000;
/** So many in one transaction: the thread has other work. */
const SEEN_AT_ONCE = 1_000;
const RETRY: BackoffPolicy = { firstMs: 500, capMs: 10_000 };

export interface DeviceWriterDeps {
  readonly store: Pick<FleetStore, 'devices' | 'transaction'>;
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
}

/** Writes what devices say of themselves, many at once, and again when it fails: a full disk stops no reading. */
export interface DeviceWriter {
  start(): void;
  stop(): Promise<void>;
  add(id: string): void;
  /** Notes that the device was seen; written at leisure. */
  touch(id: string): void;
  change(id: string, change: DeviceChange): void;
  /** A report that waits to be written. */
  reported(id: string): Reported | undefined;
}

export function createDeviceWriter(deps: DeviceWriterDeps): DeviceWriter {
  const { clock, random, log } = deps;
  const changes = new Map<string, DeviceChange>();
  const added = new Set<string>();
  const touched = new Set<string>();
  const stopping = new AbortController();
  let wake = Promise.withResolvers<void>();
  let running: Promise<unknown> | undefined;

  const write = (): void => {
    if (changes.size > 0) deps.store.transaction(() => writeAll(deps, changes));
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
  const seenLoop = async (signal: AbortSignal): Promise<void> => {
    for (;;) {
      await clock.sleep(touched.size > SEEN_AT_ONCE ? 0 : SEEN_EVERY_MS, signal);
      writeSeen(deps, touched);
    }
  };
  const change = (id: string, more: DeviceChange): void => {
    changes.set(id, { ...changes.get(id), ...more });
    wake.resolve();
  };

  return {
    start: () => {
      const onFault = (error: unknown) => log.error({ err: error }, 'devices cannot be stored; trying again');
      const supervised = { clock, random, policy: RETRY, onFault };
      const loops = [loop, seenLoop].map((each) => supervise(each, stopping.signal, supervised));
      running = Promise.all(loops);
    },
    stop: async () => {
      stopping.abort();
      await running;
      try {
        write();
        while (touched.size > 0) writeSeen(deps, touched);
      } catch (error) {
        log.warn({ err: error }, 'the last changes of devices were not stored');
      }
    },
    add: (id) => {
      added.add(id);
      change(id, {});
    },
    touch: (id) => {
      touched.add(id);
    },
    change,
    reported: (id) => changes.get(id)?.reported,
  };
}

function writeAll({ store, get }: DeviceWriterDeps, changes: ReadonlyMap<string, DeviceChange>): void {
  const { devices } = store;
  for (const [id, { presence, reported }] of changes) {
    const device = get(id);
    if (device === undefined) continue;
    devices.seen(id, device.lastSeenTs);
    if (presence !== undefined) devices.savePresence(id, presence);
    if (reported !== undefined) devices.saveReported(id, reported);
  }
}

/** Writes some of the devices that were seen, and takes those out. */
function writeSeen({ store, get }: DeviceWriterDeps, touched: Set<string>): void {
  const some = [...touched].slice(0, SEEN_AT_ONCE);
  if (some.length === 0) return;
  store.transaction(() => {
    for (const id of some) {
      const device = get(id);
      if (device !== undefined) store.devices.seen(id, device.lastSeenTs);
    }
  });
  for (const id of some) touched.delete(id);
}
