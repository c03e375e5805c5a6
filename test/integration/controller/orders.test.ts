import { expect, test } from 'vitest';
import { createDesired, type DesiredState } from '../../../controller/desired/desired.ts';
import { createGroups } from '../../../controller/registry/groups.ts';
import { type FleetStore, openFleetStore } from '../../../controller/store/fleet-store.ts';
import { AppError } from '../../../shared/errors.ts';
import type { Order } from '../../../shared/protocol/release.ts';
import { temporaryFolder } from '../../support/temp.ts';

const ORDER: Order = {
  rollout: 'r-1',
  deed: 'install',
  release: {
    name: 'fashion-mnist',
    version: 3,
    manifest: { sha256: 'ab'.repeat(32), bytes: 4_000 },
    signature: { keyId: '0123456789abcdef', value: `${'A'.repeat(86)}==` },
  },
  soakMs: 60_000,
  stepTimeoutMs: 3_600_000,
};

function desiredOf(store: FleetStore) {
  const published: { readonly topic: string; readonly payload: unknown }[] = [];
  const device = { id: 'd1', firstSeenTs: 1, lastSeenTs: 1, presence: undefined, labels: {} };
  const desired: DesiredState = createDesired({
    store,
    groups: createGroups(store.groups),
    devices: { all: () => [device], get: () => device, require: () => device },
    fleet: 'lab',
    epoch: 7,
    publish: ({ topic, payload }) => published.push({ topic, payload: JSON.parse(payload) }),
  });
  return { desired, published };
}

test("an order goes with the device's document, once, beside what else is wanted of it", async () => {
  await using folder = await temporaryFolder();
  using store = openFleetStore(folder.path);
  const { desired, published } = desiredOf(store);
  desired.patchRequirement({ kind: 'device', device: 'd1' }, { set: { latencyMs: 20 } });
  desired.giveOrders('family', new Map([['d1', ORDER]]));
  desired.giveOrders('family', new Map([['d1', { ...ORDER }]]));
  expect(published).toHaveLength(2);
  expect(published[1]).toEqual({
    topic: 'ofa/1/lab/d/d1/desired',
    payload: {
      version: { epoch: 7, n: 2 },
      requirement: { latencyMs: 20 },
      settings: {},
      groups: [],
      family: ORDER,
    },
  });
  desired.patchRequirement({ kind: 'device', device: 'd1' }, { set: { latencyMs: 30 } });
  expect(published[2]).toMatchObject({ payload: { family: ORDER, requirement: { latencyMs: 30 } } });
});

test('orders are there again after a restart, and can be taken back', async () => {
  await using folder = await temporaryFolder();
  {
    using store = openFleetStore(folder.path);
    const { desired } = desiredOf(store);
    desired.giveOrders('family', new Map([['d1', ORDER]]));
    desired.giveOrders('program', new Map([['d1', { ...ORDER, rollout: 'r-2' }]]));
  }
  using store = openFleetStore(folder.path);
  const { desired, published } = desiredOf(store);
  expect(desired.ofDevice('d1')).toMatchObject({ family: ORDER, program: { rollout: 'r-2' } });
  desired.giveOrders('family', new Map([['d1', undefined]]));
  expect(published.at(-1)?.payload).not.toHaveProperty('family');
  expect(published.at(-1)?.payload).toHaveProperty('program');
  expect([...store.orders.all()]).toEqual([['d1', { program: { ...ORDER, rollout: 'r-2' } }]]);
});

test('an order that cannot be stored is not given', async () => {
  await using folder = await temporaryFolder();
  using store = openFleetStore(folder.path);
  const full = new AppError('system', 'the disk is full');
  const { desired, published } = desiredOf({
    ...store,
    desired: {
      ...store.desired,
      save: () => {
        throw full;
      },
    },
  });
  expect(() => desired.giveOrders('family', new Map([['d1', ORDER]]))).toThrow(full);
  expect(published).toEqual([]);
  expect(desired.orderOf('d1', 'family')).toBeUndefined();
  expect(store.orders.all().size).toBe(0);
});
