import { type BackoffPolicy, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { DeviceStatus } from '../../shared/protocol/status.ts';
import { isLabel, type Labels } from '../../shared/selector.ts';
import type { Presence, StoredDevice } from '../history/device-store.ts';
import type { History } from '../history/history.ts';
import { applyStatus, isContested } from './presence.ts';

/** More devices than one controller is made for; whoever invents ids must not fill its memory. */
const MAX_DEVICES = 100_000;
const MAX_LABELS = 64;
/** Changes wait this long for others, to be written together. */
const GATHER_MS = 100;
const RETRY: BackoffPolicy = { firstMs: 500, capMs: 10_000 };

export interface DevicesDeps {
  readonly history: Pick<History, 'devices' | 'events' | 'transaction'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Called with devices that are new, after they are stored; called again when it throws. */
  readonly onNew: (devices: readonly string[]) => void;
}

/** What is known of every device. Reads come from memory; what a device sends is written in batches. */
export interface Devices extends AsyncDisposable {
  start(): void;
  all(): Iterable<StoredDevice>;
  get(id: string): StoredDevice | undefined;
  /** @throws AppError `not-found` */
  require(id: string): StoredDevice;
  count(): { known: number; online: number };
  isContested(id: string): boolean;
  reported(id: string): Reported | undefined;
  /** Whether there is room for the device. */
  admit(id: string): boolean;
  /** Notes that records of these devices are in the history, and so are they themselves. */
  seen(ids: Iterable<string>, ts: number): void;
  takeStatus(id: string, status: DeviceStatus): void;
  takeReported(id: string, reported: Reported): void;
  /** @throws AppError `not-found`, or `usage` when a label is not one */
  patchLabels(id: string, patch: LabelsPatch): StoredDevice;
}

export interface LabelsPatch {
  readonly set?: Labels;
  readonly remove?: readonly string[];
}

/** What waits to be written of one device. */
interface Unwritten {
  isNew: boolean;
  presence?: Presence;
  reported?: Reported;
  alarms: number;
}

export function createDevices(deps: DevicesDeps): Devices {
  const { history, clock, log } = deps;
  const known = new Map<string, StoredDevice>();
  for (const device of history.devices.all()) known.set(device.id, device);
  const writer = createWriter(deps, known);

  const touch = (id: string, ts: number): StoredDevice => {
    const old = known.get(id);
    const fresh = { id, firstSeenTs: ts, presence: undefined, labels: {}, ...old };
    const device: StoredDevice = { ...fresh, lastSeenTs: Math.max(old?.lastSeenTs ?? 0, ts) };
    known.set(id, device);
    if (old === undefined) writer.change(id).isNew = true;
    return device;
  };
  const require = (id: string): StoredDevice => {
    const device = known.get(id);
    if (device === undefined)
      throw new AppError('not-found', `device '${id}' is not known; nothing was heard of it`);
    return device;
  };

  return {
    start: writer.start,
    all: () => known.values(),
    get: (id) => known.get(id),
    require,
    count: () => ({
      known: known.size,
      online: [...known.values()].filter(({ presence }) => presence?.online === true).length,
    }),
    isContested: (id) => isContested(known.get(id)?.presence, clock.now()),
    reported: (id) => writer.reported(id) ?? history.devices.reported(id),
    admit: (id) => known.has(id) || known.size < MAX_DEVICES,
    seen: (ids, ts) => {
      for (const id of ids) touch(id, ts);
    },
    takeStatus: (id, status) => {
      const now = clock.now();
      const { presence, conflictBegins } = applyStatus(known.get(id)?.presence, status, now);
      known.set(id, { ...touch(id, now), presence });
      const change = writer.change(id);
      change.presence = presence;
      if (conflictBegins) {
        change.alarms += 1;
        log.error({ device: id }, 'two programs use the identity of this device in turn');
      }
    },
    takeReported: (id, reported) => {
      touch(id, clock.now());
      writer.change(id).reported = reported;
    },
    patchLabels: (id, patch) => {
      const device = require(id);
      const labels = patchedLabels(device.labels, patch);
      history.transaction(() => {
        history.devices.seen(id, device.lastSeenTs);
        history.devices.saveLabels(id, labels);
      });
      const changed = { ...device, labels };
      known.set(id, changed);
      return changed;
    },
    [Symbol.asyncDispose]: writer.stop,
  };
}

interface Writer {
  start(): void;
  stop(): Promise<void>;
  /** What waits to be written of a device; whoever asks is about to change it. */
  change(id: string): Unwritten;
  reported(id: string): Reported | undefined;
}

/** Writes changes of devices together, and again when it fails: a full disk must not stop what is read. */
function createWriter(deps: DevicesDeps, known: ReadonlyMap<string, StoredDevice>): Writer {
  const { history, clock, random, log } = deps;
  const unwritten = new Map<string, Unwritten>();
  const stopping = new AbortController();
  let changed = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  const write = (): void => {
    if (unwritten.size === 0) return;
    history.transaction(() => {
      for (const [id, change] of unwritten) writeOne(history, known.get(id), change, clock.now());
    });
    const added = [...unwritten].filter(([, { isNew }]) => isNew).map(([id]) => id);
    // What is stored is not stored again if the next step fails; that step is.
    for (const [id, { isNew }] of unwritten)
      isNew ? unwritten.set(id, { isNew, alarms: 0 }) : unwritten.delete(id);
    if (added.length > 0) deps.onNew(added);
    unwritten.clear();
  };
  const loop = async (signal: AbortSignal): Promise<void> => {
    const aborted = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    while (!signal.aborted) {
      if (unwritten.size === 0) await Promise.race([changed.promise, aborted]);
      await clock.sleep(GATHER_MS, signal).catch(() => undefined);
      changed = Promise.withResolvers();
      write();
    }
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
    change: (id) => {
      const change = unwritten.get(id) ?? { isNew: false, alarms: 0 };
      unwritten.set(id, change);
      changed.resolve();
      return change;
    },
    reported: (id) => unwritten.get(id)?.reported,
  };
}

function writeOne(
  { devices, events }: Pick<History, 'devices' | 'events'>,
  device: StoredDevice | undefined,
  change: Unwritten,
  ts: number,
): void {
  if (device === undefined) return;
  devices.seen(device.id, device.lastSeenTs);
  if (change.presence !== undefined) devices.savePresence(device.id, change.presence);
  if (change.reported !== undefined) devices.saveReported(device.id, change.reported);
  const reason = 'two programs announce themselves in turn under this id; give one of them another';
  for (let i = 0; i < change.alarms; i += 1)
    events.raise({ device: device.id, ts, what: 'identity conflict', reason });
}

function patchedLabels(labels: Labels, { set = {}, remove = [] }: LabelsPatch): Labels {
  for (const [key, value] of Object.entries(set)) {
    if (!isLabel(key, value)) {
      throw new AppError(
        'usage',
        `'${key}=${value}' is not a label: letters, digits, '.', '_', '-', at most 63 each`,
      );
    }
  }
  const kept = Object.entries({ ...labels, ...set }).filter(([key]) => !remove.includes(key));
  if (kept.length > MAX_LABELS) throw new AppError('usage', `a device has at most ${MAX_LABELS} labels`);
  return Object.fromEntries(kept);
}
