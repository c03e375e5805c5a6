import { type Advance, advance, type RolloutDocument } from '../../../controller/rollouts/advance.ts';
import type { DeviceFacts, Facts } from '../../../controller/rollouts/facts.ts';
import { stageEnds } from '../../../controller/rollouts/grammar.ts';
import type {
  Measured,
  Measurement,
  RolloutDevice,
  RolloutPlan,
} from '../../../controller/store/rollout-store.ts';
import type { InstallReport, Order } from '../../../shared/protocol/release.ts';

export const FAMILY = 'fa'.repeat(32);
const OLD_FAMILY = '0d'.repeat(32);

export const RELEASE = {
  name: 'fashion-mnist',
  version: 4,
  manifest: { sha256: 'ab'.repeat(32), bytes: 4_000 },
  signature: { keyId: '0123456789abcdef', value: `${'A'.repeat(86)}==` },
};

export const PLAN: RolloutPlan = {
  id: 'r-1',
  kind: 'family',
  release: RELEASE,
  familySha256: FAMILY,
  target: {},
  isDynamic: false,
  canary: [{ share: 1 }],
  stages: 1,
  soakMs: 1_000,
  stepTimeoutMs: 10_000,
  joinTimeoutMs: 100_000,
  baselineMs: 60_000,
  gates: [],
  onAbort: 'revert',
  createdTs: 1_000_000,
};

export type Change = Partial<Omit<DeviceFacts, 'install'>> & { readonly install?: Partial<InstallReport> };

/** A rollout in a world that the test makes: what is known of devices, time, and the orders that are in place. */
export interface RolloutWorld {
  document: RolloutDocument;
  readonly orders: Map<string, Order>;
  mayOrder: boolean;
  joining: string[];
  now: number;
  facts(elapsedMs?: number): Facts;
  /** Advances until that leads no further; returns every advance. */
  settle(elapsedMs?: number): Advance[];
  know(device: string, change: Change): void;
  /** Measures the gates of the open stage. */
  measure(...values: Partial<Measured>[]): void;
  device(id: string): RolloutDevice;
  states(): Record<string, string>;
}

export function documentOf(change: Partial<RolloutPlan>, ids: readonly string[]): RolloutDocument {
  const plan = { ...PLAN, ...change };
  const ends = stageEnds(plan.canary, ids.length);
  const rollout = {
    plan: { ...plan, stages: Math.max(1, ends.length) },
    ...({
      state: 'running',
      stage: 0,
      stageTs: plan.createdTs,
      watchedMs: 0,
      isJudged: false,
      given: [],
    } as const),
  };
  const devices = ids.map((device, place): RolloutDevice => {
    const stage = ends.findIndex((end) => place < end);
    return { device, place, stage, state: 'QUEUED', sinceTs: plan.createdTs, attempts: 0 };
  });
  return { rollout, devices: new Map(devices.map((device) => [device.device, device])) };
}

export function rolloutWorld(change: Partial<RolloutPlan>, ids: readonly string[]): RolloutWorld {
  const known = new Map<string, DeviceFacts>();
  let measured: Measurement | undefined;
  const of = (device: string): DeviceFacts => ({
    ...{ isTarget: true, isOnline: true, familySha256: OLD_FAMILY, gpuPoints: 2, windowMs: 1_000 },
    ...known.get(device),
    order: known.get(device)?.order ?? world.orders.get(device),
  });
  const world: RolloutWorld = {
    document: documentOf(change, ids),
    orders: new Map(),
    mayOrder: true,
    joining: [],
    now: 1_000_000,
    facts: (elapsedMs = 0) => {
      const { now, mayOrder, joining } = world;
      return { now, elapsedMs, mayOrder, joining, of, measured };
    },
    settle: (elapsedMs = 0) => {
      const steps: Advance[] = [];
      let isMoving = true;
      for (let left = elapsedMs; isMoving && steps.length < 200; left = 0) {
        const step = advance(world.document, world.facts(left));
        world.document = { rollout: step.rollout, devices: step.devices };
        for (const [id, order] of step.orders) {
          if (order === undefined) world.orders.delete(id);
          else world.orders.set(id, order);
        }
        steps.push(step);
        isMoving = step.isMoving;
      }
      return steps;
    },
    know: (device, { install, ...rest }) => {
      const report = install === undefined ? {} : { install: reportOf(install) };
      known.set(device, { ...of(device), order: undefined, ...rest, ...report });
    },
    measure: (...values) => {
      const { stage, watchedMs } = world.document.rollout;
      const full = values.map((value) => ({ count: 1_000, share: 1, ...value }));
      measured = { stage, ms: watchedMs, ts: world.now, values: full };
    },
    device: (id) => {
      const device = world.document.devices.get(id);
      if (device === undefined) throw new Error(`no device ${id}`);
      return device;
    },
    states: () => Object.fromEntries([...world.document.devices].map(([id, { state }]) => [id, state])),
  };
  return world;
}

function reportOf(change: Partial<InstallReport>): InstallReport {
  const { name, version } = RELEASE;
  return {
    ...({ rollout: 'r-1', deed: 'install', name, version, ts: 1 } as const),
    ...({ state: 'in-progress', step: 'fetching' } as const),
    ...change,
  };
}

/** The device has done it. */
export function succeed(world: RolloutWorld, ...ids: readonly string[]): void {
  for (const id of ids) {
    world.know(id, {
      install: { state: 'succeeded', step: 'committed', activatedTs: 1 },
      familySha256: FAMILY,
    });
  }
}
