import type { Static } from 'typebox';
import { AppError, invariant } from '../../shared/errors.ts';
import { formatSelector, matches, parseSelector } from '../../shared/selector.ts';
import type { FleetGroup } from '../registry/groups.ts';
import { membershipsOf, membersOf } from '../registry/membership.ts';
import type { StoredDevice } from '../store/device-store.ts';
import type { ApiContext } from './context.ts';
import type { Device, DeviceDetail, Group, TargetQuerySchema } from './schemas.ts';

export type Target = Static<typeof TargetQuerySchema>;

/**
 * The devices that a request is about; undefined means all.
 * @throws AppError `not-found` when the device or group is not known, `usage` when several are named
 */
export function devicesOf(target: Target, { devices, groups }: ApiContext): StoredDevice[] | undefined {
  const { device, group, selector } = target;
  if ([device, group, selector].filter((each) => each !== undefined).length > 1) {
    throw new AppError('usage', 'name one of device, group and selector');
  }
  if (device !== undefined) return [devices.require(device)];
  if (group !== undefined) return membersOf(groups.require(group), devices.all());
  if (selector === undefined) return undefined;
  const parsed = parseSelector(selector);
  return [...devices.all()].filter(({ labels }) => matches(parsed, labels));
}

/** As `devicesOf`, but only the ids. */
export function idsOf(target: Target, context: ApiContext): string[] | undefined {
  return devicesOf(target, context)?.map(({ id }) => id);
}

/** What is listed of devices, with the newest window of each: one question to the history for all of them. */
export async function deviceViews(
  devices: readonly StoredDevice[],
  { groups, history }: ApiContext,
): Promise<Device[]> {
  const latest = await history.latest(devices.map(({ id }) => id));
  const named = groups.named();
  return devices.map((device) => {
    const { id, firstSeenTs, lastSeenTs, presence, labels } = device;
    // A device may be called `constructor`.
    const newest = Object.hasOwn(latest, id) ? latest[id] : undefined;
    return {
      id,
      online: presence?.online === true,
      firstSeenTs,
      lastSeenTs,
      labels: { ...labels },
      groups: membershipsOf(device, named).map(({ name }) => name),
      ...(newest === undefined ? {} : { latest: newest }),
    };
  });
}

/** All that is known of one device. */
export async function deviceDetailView(device: StoredDevice, context: ApiContext): Promise<DeviceDetail> {
  const [view] = await deviceViews([device], context);
  invariant(view !== undefined, 'one device in, one view out');
  const desired = context.desired.ofDevice(device.id);
  const reported = context.devices.reported(device.id);
  return {
    ...view,
    identityConflict: context.devices.isContested(device.id),
    ...(desired === undefined ? {} : { desired }),
    ...(reported === undefined ? {} : { reported }),
  };
}

/** A group with the devices that are in it now. */
export function groupView(group: FleetGroup, { devices }: ApiContext): Group {
  const { name, priority, selector } = group;
  return {
    name,
    priority,
    ...(selector === undefined ? {} : { selector: formatSelector(selector) }),
    devices: membersOf(group, devices.all())
      .map(({ id }) => id)
      .sort(),
  };
}
