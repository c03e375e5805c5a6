import type { Order, ReleaseKind } from '../../shared/protocol/release.ts';
import type { Measurement, StoredRollout } from '../store/rollout-store.ts';
import type { RolloutDocument } from './advance.ts';
import { type Claims, claimsOf } from './claims.ts';
import type { DeviceFacts, Facts } from './facts.ts';
import type { MaintenanceClock } from './maintenance.ts';
import type { Reports } from './reports.ts';
import { idsOfTarget, type TargetDeps } from './start.ts';

/** Orders of rollouts, which travel in the desired documents of devices. */
export interface Orders {
  /** Gives orders, or (undefined) takes them back; one that is in place already changes nothing. */
  give(kind: ReleaseKind, orders: ReadonlyMap<string, Order | undefined>): void;
  of(device: string, kind: ReleaseKind): Order | undefined;
}

export interface WorldDeps {
  readonly targets: TargetDeps & {
    readonly devices: { get(id: string): { presence?: unknown } | undefined };
  };
  readonly isOnline: (device: string) => boolean;
  readonly reports: Reports;
  readonly orders: Orders;
}

interface Moment {
  readonly now: number;
  readonly elapsedMs: number;
  /** All rollouts that are not over, this one too. */
  readonly active: Iterable<RolloutDocument>;
  readonly maintenance: MaintenanceClock | undefined;
  readonly measured: Measurement | undefined;
}

/** What is known now of the world around a rollout. */
export function factsOf({ rollout, devices }: RolloutDocument, moment: Moment, deps: WorldDeps): Facts {
  const { plan } = rollout;
  const claims = claimsOf(moment.active, plan.kind, plan.id);
  const selected = plan.isDynamic ? new Set(selectedNow(plan, deps)) : undefined;
  return {
    now: moment.now,
    elapsedMs: moment.elapsedMs,
    mayOrder: moment.maintenance?.isOpen(moment.now) ?? true,
    of: once((device) => deviceFacts(device, { plan, claims, selected, deps })),
    joining: [...(selected ?? [])].filter((id) => !devices.has(id) && !claims.has(id)).sort(),
    measured: moment.measured,
  };
}

/** A group that was removed since selects nobody. */
function selectedNow({ target }: StoredRollout['plan'], { targets }: WorldDeps): string[] {
  try {
    return idsOfTarget(target, targets);
  } catch {
    return [];
  }
}

interface Around {
  readonly plan: StoredRollout['plan'];
  readonly claims: Claims;
  readonly selected: ReadonlySet<string> | undefined;
  readonly deps: WorldDeps;
}

function deviceFacts(device: string, { plan, claims, selected, deps }: Around): DeviceFacts {
  const { install, familySha256, gpuPoints, windowMs } = deps.reports.of(device);
  const claim = claims.get(device);
  return {
    ...{ familySha256, gpuPoints, windowMs },
    isTarget: selected?.has(device) ?? deps.targets.devices.get(device) !== undefined,
    isOnline: deps.isOnline(device),
    busyWith: claim === plan.id ? undefined : claim,
    order: deps.orders.of(device, plan.kind),
    install: install[plan.kind],
  };
}

/** Every device is asked about several times in one look at its rollout. */
function once<T>(of: (device: string) => T): (device: string) => T {
  const known = new Map<string, T>();
  return (device) => {
    const old = known.get(device);
    if (old !== undefined) return old;
    const made = of(device);
    known.set(device, made);
    return made;
  };
}
