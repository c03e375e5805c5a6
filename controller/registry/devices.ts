import { AppError } from '../../shared/errors.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { DeviceStatus } from '../../shared/protocol/status.ts';
import { isLabel, type Labels } from '../../shared/selector.ts';
import type { StoredDevice } from '../store/device-store.ts';
import type { Alarms } from './alarms.ts';
import { createDeviceWriter, type DeviceWriter, type DeviceWriterDeps } from './device-writer.ts';
import { applyStatus, isContested } from './presence.ts';

/** More devices than one controller is made for; whoever invents ids must not fill its memory. */
const MAX_DEVICES = 100_000;
const MAX_LABELS = 64;

const CONFLICT = 'two programs announce themselves in turn under this id; give one of them another';

export interface DevicesDeps extends Omit<DeviceWriterDeps, 'get'> {
  readonly alarms: Pick<Alarms, 'raise'>;
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
  /**
   * Notes that records of these devices are in the history. Those that are new are stored when it returns:
   * a device whose records are acknowledged is known after a crash too.
   */
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

export function createDevices(deps: DevicesDeps): Devices {
  return new DeviceRegistry(deps);
}

class DeviceRegistry implements Devices {
  readonly #deps: DevicesDeps;
  readonly #known = new Map<string, StoredDevice>();
  readonly #writer: DeviceWriter;

  constructor(deps: DevicesDeps) {
    this.#deps = deps;
    for (const device of deps.store.devices.all()) this.#known.set(device.id, device);
    this.#writer = createDeviceWriter({ ...deps, get: (id) => this.#known.get(id) });
  }

  start(): void {
    this.#writer.start();
  }

  all(): Iterable<StoredDevice> {
    return this.#known.values();
  }

  get(id: string): StoredDevice | undefined {
    return this.#known.get(id);
  }

  require(id: string): StoredDevice {
    const device = this.#known.get(id);
    if (device !== undefined) return device;
    throw new AppError('not-found', `device '${id}' is not known; nothing was heard of it`);
  }

  count(): { known: number; online: number } {
    const online = [...this.#known.values()].filter(({ presence }) => presence?.online === true);
    return { known: this.#known.size, online: online.length };
  }

  isContested(id: string): boolean {
    return isContested(this.#known.get(id)?.presence, this.#deps.clock.now());
  }

  reported(id: string): Reported | undefined {
    return this.#writer.reported(id) ?? this.#deps.store.devices.reported(id);
  }

  admit(id: string): boolean {
    return this.#known.has(id) || this.#known.size < MAX_DEVICES;
  }

  seen(ids: Iterable<string>, ts: number): void {
    const { store } = this.#deps;
    const all = [...ids];
    const added = all.filter((id) => !this.#known.has(id));
    if (added.length > 0) {
      store.transaction(() => {
        for (const id of added) store.devices.seen(id, ts);
      });
    }
    for (const id of all) this.#touch(id, ts);
  }

  takeStatus(id: string, status: DeviceStatus): void {
    const now = this.#deps.clock.now();
    const device = this.#touch(id, now);
    const { presence, conflictBegins } = applyStatus(device.presence, status, now);
    this.#known.set(id, { ...device, presence });
    this.#writer.change(id, { presence });
    if (!conflictBegins) return;
    const { alarms, log } = this.#deps;
    log.error({ device: id }, 'two programs use the identity of this device in turn');
    alarms.raise({ device: id, ts: now, what: 'identity conflict', reason: CONFLICT });
  }

  takeReported(id: string, reported: Reported): void {
    this.#touch(id, this.#deps.clock.now());
    this.#writer.change(id, { reported });
  }

  patchLabels(id: string, patch: LabelsPatch): StoredDevice {
    const { store } = this.#deps;
    const device = this.require(id);
    const changed = { ...device, labels: patchedLabels(device.labels, patch) };
    store.transaction(() => {
      store.devices.seen(id, device.lastSeenTs);
      store.devices.saveLabels(id, changed.labels);
    });
    this.#known.set(id, changed);
    return changed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#writer.stop();
  }

  #touch(id: string, ts: number): StoredDevice {
    const old = this.#known.get(id);
    const device: StoredDevice = {
      ...(old ?? { id, firstSeenTs: ts, presence: undefined, labels: {} }),
      lastSeenTs: Math.max(old?.lastSeenTs ?? 0, ts),
    };
    this.#known.set(id, device);
    if (old === undefined) this.#writer.add(id);
    else this.#writer.touch(id);
    return device;
  }
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
