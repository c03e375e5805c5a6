import { invariant } from '../../shared/errors.ts';
import type { DeviceDesired, Version } from '../../shared/protocol/desired.ts';
import type { ScopeKind } from '../../shared/protocol/ids.ts';
import { encodeMessage } from '../../shared/protocol/messages.ts';
import type { Order, ReleaseKind } from '../../shared/protocol/release.ts';
import type { Requirement, Settings } from '../../shared/protocol/requirement.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import { formatSelector } from '../../shared/selector.ts';
import type { Scope, Stated } from '../api/schemas.ts';
import type { RetainedMessage } from '../link/retainer.ts';
import type { Devices } from '../registry/devices.ts';
import { type Groups, selectorGroupName } from '../registry/groups.ts';
import { isMember, membershipsOf } from '../registry/membership.ts';
import type { StoredDesired } from '../store/desired-store.ts';
import type { FleetStore } from '../store/fleet-store.ts';
import type { DeviceOrders } from '../store/order-store.ts';
import { type FieldsPatch, patchFields, sameFields } from './stated.ts';

export interface DesiredDeps {
  readonly store: Pick<FleetStore, 'desired' | 'orders' | 'meta' | 'transaction'>;
  readonly devices: Pick<Devices, 'all' | 'get' | 'require'>;
  readonly groups: Groups;
  readonly fleet: string;
  readonly epoch: number;
  /** Brings a document to the broker, now or later. */
  readonly publish: (message: RetainedMessage) => void;
}

/** What people want of the fleet, as documents with versions that only grow. */
export interface DesiredState {
  /** Every document, as the broker has to hold it. */
  messages(): Iterable<RetainedMessage>;
  /** What scopes state of a part; those that state nothing of it are left out. */
  list(part: 'requirement' | 'settings'): Stated[];
  patchRequirement(scope: Scope, patch: FieldsPatch<Requirement>): Stated;
  patchSettings(scope: Scope, patch: FieldsPatch<Settings>): Stated;
  ofDevice(device: string): DeviceDesired | undefined;
  /** Gives every one of these devices (by default all) whose groups have changed a new document that names them. */
  syncGroups(devices?: readonly string[]): void;
  /** The order that a device has from a rollout. */
  orderOf(device: string, kind: ReleaseKind): Order | undefined;
  /**
   * Gives devices new orders of a kind, or takes those that they have; an order that a device has already is
   * not given again.
   */
  giveOrders(kind: ReleaseKind, orders: ReadonlyMap<string, Order | undefined>): void;
  /** Drops what a group stated; those who still follow it are told that it states nothing. */
  dropGroup(name: string): void;
}

type Place = Pick<StoredDesired, 'kind' | 'name'>;
type Content = Pick<StoredDesired, 'requirement' | 'settings' | 'groups'>;

const NOTHING: Content = { requirement: {}, settings: {}, groups: [] };

export function createDesired(deps: DesiredDeps): DesiredState {
  return new DesiredDocuments(deps);
}

class DesiredDocuments implements DesiredState {
  readonly #deps: DesiredDeps;
  readonly #known = new Map<string, StoredDesired>();
  readonly #orders: Map<string, DeviceOrders>;

  constructor(deps: DesiredDeps) {
    this.#deps = deps;
    this.#orders = deps.store.orders.all();
    for (const document of deps.store.desired.all()) this.#known.set(keyOf(document), document);
  }

  messages(): Iterable<RetainedMessage> {
    return [...this.#known.values()].map((document) => this.#messageOf(document));
  }

  list(part: 'requirement' | 'settings'): Stated[] {
    return [...this.#known.values()]
      .filter((document) => Object.keys(document[part]).length > 0)
      .sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1))
      .map((document) => statedOf(document, this.#deps));
  }

  patchRequirement(scope: Scope, patch: FieldsPatch<Requirement>): Stated {
    return this.#patch(scope, (old) => ({ ...old, requirement: patchFields(old.requirement, patch) }));
  }

  patchSettings(scope: Scope, patch: FieldsPatch<Settings>): Stated {
    return this.#patch(scope, (old) => ({ ...old, settings: patchFields(old.settings, patch) }));
  }

  ofDevice(device: string): DeviceDesired | undefined {
    const document = this.#known.get(keyOf({ kind: 'device', name: device }));
    return document === undefined ? undefined : deviceDocument(document, this.#orders.get(device));
  }

  orderOf(device: string, kind: ReleaseKind): Order | undefined {
    return this.#orders.get(device)?.[kind];
  }

  giveOrders(kind: ReleaseKind, orders: ReadonlyMap<string, Order | undefined>): void {
    const changed = [...orders].filter(
      ([device, order]) => JSON.stringify(order) !== JSON.stringify(this.orderOf(device, kind)),
    );
    if (changed.length === 0) return;
    const { store } = this.#deps;
    // Orders and the documents that carry them are stored together: after a crash both are there or none.
    const documents = store.transaction(() => {
      for (const [device, order] of changed) {
        if (order === undefined) store.orders.remove(device, kind);
        else store.orders.save(device, kind, order);
      }
      return this.#store(changed.map(([device]) => this.#deviceContent(device)));
    });
    this.#takeOrders(kind, changed);
    this.#announce(documents);
  }

  #takeOrders(kind: ReleaseKind, changed: readonly (readonly [string, Order | undefined])[]): void {
    for (const [device, order] of changed) {
      const { [kind]: _before, ...others } = this.#orders.get(device) ?? {};
      this.#orders.set(device, order === undefined ? others : { ...others, [kind]: order });
    }
  }

  #deviceContent(device: string): Place & Content {
    const place: Place = { kind: 'device', name: device };
    return { ...NOTHING, ...this.#known.get(keyOf(place)), ...place };
  }

  syncGroups(ids?: readonly string[]): void {
    const { devices, groups } = this.#deps;
    const all = [...groups.all()];
    const changed: (Place & Content)[] = [];
    for (const device of ids === undefined ? devices.all() : ids.map((id) => devices.require(id))) {
      const place: Place = { kind: 'device', name: device.id };
      const old = this.#known.get(keyOf(place));
      const memberships = membershipsOf(device, all);
      if (old !== undefined && JSON.stringify(old.groups) === JSON.stringify(memberships)) continue;
      changed.push({ ...NOTHING, ...old, ...place, groups: memberships });
    }
    if (changed.length > 0) this.#save(changed);
  }

  dropGroup(name: string): void {
    const place: Place = { kind: 'group', name };
    if (!this.#known.has(keyOf(place))) return;
    this.#save([{ ...NOTHING, ...place }]);
    this.#deps.store.desired.remove('group', name);
    this.#known.delete(keyOf(place));
  }

  #patch(scope: Scope, change: (content: Content) => Content): Stated {
    const { groups } = this.#deps;
    const place = placeOf(scope, this.#deps);
    const old = this.#known.get(keyOf(place));
    const content = change(old ?? NOTHING);
    if (scope.kind === 'selector') {
      groups.ofSelector(scope.selector, scope.priority);
      this.syncGroups();
    }
    const document =
      old !== undefined && sameContent(old, content) ? old : this.#saveOne({ ...content, ...place });
    const stated = statedOf(document, this.#deps);
    if (scope.kind === 'selector' && statesNothing(document)) {
      // A device follows only so many groups; those that say nothing must not take their places.
      groups.forgetSelector(scope.selector);
      this.syncGroups();
    }
    return stated;
  }

  #messageOf(document: StoredDesired): RetainedMessage {
    return messageOf(this.#deps.fleet, document, this.#orders.get(document.name));
  }

  #saveOne(content: Place & Content): StoredDesired {
    const [document] = this.#save([content]);
    invariant(document !== undefined, 'one document in, one document out');
    return document;
  }

  /** Stores documents under one new version, then publishes them. */
  #save(contents: readonly (Place & Content)[]): StoredDesired[] {
    const documents = this.#deps.store.transaction(() => this.#store(contents));
    this.#announce(documents);
    return documents;
  }

  /** Within a transaction. */
  #store(contents: readonly (Place & Content)[]): StoredDesired[] {
    const version = nextVersion(this.#deps);
    const documents = contents.map((content) => ({ ...content, version }));
    for (const document of documents) this.#deps.store.desired.save(document);
    return documents;
  }

  #announce(documents: readonly StoredDesired[]): void {
    for (const document of documents) {
      this.#known.set(keyOf(document), document);
      this.#deps.publish(this.#messageOf(document));
    }
  }
}

function sameContent(a: Content, b: Content): boolean {
  return sameFields(a.requirement, b.requirement) && sameFields(a.settings, b.settings);
}

function statesNothing({ requirement, settings }: Content): boolean {
  return Object.keys(requirement).length + Object.keys(settings).length === 0;
}

/** One counter for all documents: a document that is made anew can never fall behind what devices have seen. */
function nextVersion({ store, epoch }: DesiredDeps): Version {
  const n = Number(store.meta.get('n') ?? '0') + 1;
  store.meta.set('n', String(n));
  return { epoch, n };
}

function keyOf({ kind, name }: Place): string {
  return `${kind} ${name}`;
}

const ORDER: Readonly<Record<ScopeKind, number>> = { fleet: 0, group: 1, device: 2 };

function sortKey({ kind, name }: Place): string {
  return `${ORDER[kind]} ${name}`;
}

function messageOf(
  fleet: string,
  document: StoredDesired,
  orders: DeviceOrders | undefined,
): RetainedMessage {
  const { kind, name, version, requirement, settings } = document;
  switch (kind) {
    case 'fleet':
      return {
        topic: topicOf('fleetDesired', { fleet }),
        payload: encodeMessage('fleetDesired', { version, requirement, settings }),
      };
    case 'group':
      return {
        topic: topicOf('groupDesired', { fleet, group: name }),
        payload: encodeMessage('groupDesired', { version, requirement, settings }),
      };
    case 'device':
      return {
        topic: topicOf('desired', { fleet, device: name }),
        payload: encodeMessage('desired', deviceDocument(document, orders)),
      };
  }
}

function deviceDocument(
  { version, requirement, settings, groups }: StoredDesired,
  orders: DeviceOrders | undefined,
): DeviceDesired {
  return { version, requirement, settings, groups: [...groups], ...orders };
}

function placeOf(scope: Scope, { devices, groups }: DesiredDeps): Place {
  switch (scope.kind) {
    case 'fleet':
      return { kind: 'fleet', name: '' };
    case 'group':
      return { kind: 'group', name: groups.require(scope.name).name };
    case 'selector':
      return { kind: 'group', name: selectorGroupName(scope.selector) };
    case 'device':
      return { kind: 'device', name: devices.require(scope.device).id };
  }
}

function scopeOf({ kind, name }: Place, groups: Groups): Scope {
  if (kind === 'fleet') return { kind };
  if (kind === 'device') return { kind, device: name };
  const group = groups.get(name);
  if (group?.anonymous !== true || group.selector === undefined) return { kind, name };
  return { kind: 'selector', selector: formatSelector(group.selector), priority: group.priority };
}

function statedOf(document: StoredDesired, deps: DesiredDeps): Stated {
  const { version, requirement, settings } = document;
  const scope = scopeOf(document, deps.groups);
  return { scope, version, requirement, settings, devices: countDevices(document, deps) };
}

function countDevices({ kind, name }: Place, { devices, groups }: DesiredDeps): number {
  if (kind === 'device') return 1;
  const all = [...devices.all()];
  const group = groups.get(name);
  if (kind === 'fleet') return all.length;
  return group === undefined ? 0 : all.filter((device) => isMember(device, group)).length;
}
