import type { Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { formatSelector, matches, parseSelector } from '../../shared/selector.ts';
import type { StoredDevice } from '../history/device-store.ts';
import { summaryOf } from '../history/latest.ts';
import type { FleetGroup } from '../registry/groups.ts';
import { isMember, membershipsOf } from '../registry/membership.ts';
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

function membersOf(group: FleetGroup, devices: Iterable<StoredDevice>): StoredDevice[] {
  return [...devices].filter((device) => isMember(device, group));
}

export function deviceView(device: StoredDevice, { groups, history }: ApiContext): Device {
  const { id, firstSeenTs, lastSeenTs, presence, labels } = device;
  const latest = history.windows.latest(id);
  return {
    id,
    online: presence?.online === true,
    firstSeenTs,
    lastSeenTs,
    labels: { ...labels },
    groups: membershipsOf(device, groups.named()).map(({ name }) => name),
    ...(latest === undefined ? {} : { latest: summaryOf(latest) }),
  };
}

export function deviceDetailView(device: StoredDevice, context: ApiContext): DeviceDetail {
  const desired = context.desired.ofDevice(device.id);
  const reported = context.devices.reported(device.id);
  return {
    ...deviceView(device, context),
    identityConflict: context.devices.isContested(device.id),
    ...(desired === undefined ? {} : { desired }),
    ...(reported === undefined ? {} : { reported }),
  };
}

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
