import { AppError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import { formatSelector, parseSelector } from '../../shared/selector.ts';
import type { GroupStore, StoredGroup } from '../store/group-store.ts';
import type { GroupRule } from './membership.ts';

/** A group with its selector parsed. */
export interface FleetGroup extends GroupRule {
  readonly anonymous: boolean;
}

export interface GroupPut {
  readonly priority: number;
  readonly selector?: string;
  readonly members?: readonly string[];
}

export interface Groups {
  /** All of them, those that stand for selectors too. */
  all(): Iterable<FleetGroup>;
  /** Those that people named. */
  named(): FleetGroup[];
  get(name: string): FleetGroup | undefined;
  /** A group that people named. @throws AppError `not-found` */
  require(name: string): FleetGroup;
  /** @throws AppError `usage` when selector and members are both given, or the name is kept for selectors */
  put(name: string, put: GroupPut): FleetGroup;
  /** The group that stands for a selector, made when there is none; `priority` changes it when given. */
  ofSelector(selector: string, priority: number | undefined): FleetGroup;
  /** Removes the group that stands for a selector for which nothing is stated any more. */
  forgetSelector(selector: string): void;
  /** @throws AppError `not-found` */
  remove(name: string): void;
}

const KEPT_NAME = /^sel-[0-9a-f]{10}$/;

/** Name of the group that stands for a selector: the same for the same selector, however it is written. */
export function selectorGroupName(selector: string): string {
  return `sel-${sha256(formatSelector(parseSelector(selector))).slice(0, 10)}`;
}

export function createGroups(store: GroupStore): Groups {
  const known = new Map<string, FleetGroup>();
  for (const group of store.all()) known.set(group.name, parse(group));

  const save = (group: StoredGroup): FleetGroup => {
    const parsed = parse(group);
    store.save(group);
    known.set(group.name, parsed);
    return parsed;
  };
  const named = (): FleetGroup[] => [...known.values()].filter(({ anonymous }) => !anonymous).sort(byName);
  const require = (name: string): FleetGroup => {
    const group = known.get(name);
    if (group === undefined || group.anonymous)
      throw new AppError('not-found', `group '${name}' is not known`);
    return group;
  };

  return {
    all: () => known.values(),
    named,
    get: (name) => known.get(name),
    require,
    put: (name, { priority, selector, members }) => {
      checkPut(name, selector, members);
      const canonical = selector === undefined ? undefined : formatSelector(parseSelector(selector));
      const unique = [...new Set(members ?? [])].sort();
      return save({ name, priority, selector: canonical, members: unique, anonymous: false });
    },
    ofSelector: (selector, priority) => {
      const name = selectorGroupName(selector);
      const old = known.get(name);
      if (old !== undefined && (priority === undefined || priority === old.priority)) return old;
      const canonical = formatSelector(parseSelector(selector));
      return save({ name, priority: priority ?? 0, selector: canonical, members: [], anonymous: true });
    },
    forgetSelector: (selector) => {
      const name = selectorGroupName(selector);
      store.remove(name);
      known.delete(name);
    },
    remove: (name) => {
      require(name);
      store.remove(name);
      known.delete(name);
    },
  };
}

function checkPut(name: string, selector: string | undefined, members: readonly string[] | undefined): void {
  if (selector !== undefined && members !== undefined) {
    throw new AppError('usage', `group '${name}': give members or a selector, not both`);
  }
  if (KEPT_NAME.test(name)) throw new AppError('usage', `the name '${name}' is kept for selectors`);
}

function byName(a: FleetGroup, b: FleetGroup): number {
  return a.name < b.name ? -1 : 1;
}

function parse({ name, priority, selector, members, anonymous }: StoredGroup): FleetGroup {
  const parsed = selector === undefined ? undefined : parseSelector(selector);
  return { name, priority, selector: parsed, members: new Set(members), anonymous };
}
