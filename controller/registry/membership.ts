import type { Membership } from '../../shared/protocol/desired.ts';
import { type Labels, matches, type Selector } from '../../shared/selector.ts';

/** A group as membership needs it. */
export interface GroupRule {
  readonly name: string;
  readonly priority: number;
  readonly selector: Selector | undefined;
  readonly members: ReadonlySet<string>;
}

/** A desired document names at most so many groups; those of the highest priority count. */
const MAX_GROUPS = 64;

/** Whether a device is in a group: by its labels where the group has a selector, else by its id. */
export function isMember(device: { id: string; labels: Labels }, group: GroupRule): boolean {
  return group.selector === undefined ? group.members.has(device.id) : matches(group.selector, device.labels);
}

/** Those of the devices that are in a group now. */
export function membersOf<D extends { id: string; labels: Labels }>(
  group: GroupRule,
  devices: Iterable<D>,
): D[] {
  return [...devices].filter((device) => isMember(device, group));
}

/** The groups that a device is in, in the order in which they are asked: higher priority first, then by name. */
export function membershipsOf(
  device: { id: string; labels: Labels },
  groups: Iterable<GroupRule>,
): Membership[] {
  return [...groups]
    .filter((group) => isMember(device, group))
    .map(({ name, priority }) => ({ name, priority }))
    .sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_GROUPS);
}
