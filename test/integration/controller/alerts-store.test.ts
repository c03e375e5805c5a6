import { expect, test } from 'vitest';
import type { AlertRow } from '../../../controller/api/alert-schemas.ts';
import { createAlertStore } from '../../../controller/store/alert-store.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { notificationOf } from '../../support/alerts.ts';
import { temporaryFolder } from '../../support/temp.ts';

const NOTHING = { alerts: [], spells: new Map(), notifications: [] };

function alert(id: number, change: Partial<AlertRow> = {}): AlertRow {
  return {
    id: String(id),
    rule: 'throttled',
    device: 'cam-1',
    severity: 'warning',
    state: 'firing',
    text: 'throttled: hot',
    sinceTs: 1,
    firedTs: 2,
    ...change,
  };
}

test('what fires, spells and notifications are there again after a restart', async () => {
  await using folder = await temporaryFolder();
  const spells = { throttle: { active: true, ts: 5, sinceTs: 5, reason: 'hot' } };
  {
    using fleet = openFleetStore(folder.path);
    createAlertStore(fleet.sqlite).save({
      alerts: [alert(7), alert(8, { device: null, rule: 'history-stalled' })],
      spells: new Map([['cam-1', spells]]),
      notifications: [notificationOf(7), notificationOf(8)],
    });
  }
  using fleet = openFleetStore(folder.path);
  const store = createAlertStore(fleet.sqlite);
  expect(store.firing()).toEqual([alert(7), alert(8, { device: null, rule: 'history-stalled' })]);
  expect(store.spells()).toEqual(new Map([['cam-1', spells]]));
  expect(store.undelivered()).toEqual([notificationOf(7), notificationOf(8)]);
  expect(store.lastId()).toBe(8);
  store.forget(['7-firing']);
  expect(store.undelivered()).toEqual([notificationOf(8)]);
});

test('an alert that is resolved is no longer among those that fire, and the same notification is kept once', async () => {
  await using folder = await temporaryFolder();
  using fleet = openFleetStore(folder.path);
  const store = createAlertStore(fleet.sqlite);
  store.save({ ...NOTHING, alerts: [alert(1)], notifications: [notificationOf(1)] });
  const resolved = alert(1, { state: 'resolved', resolvedTs: 9 });
  store.save({ ...NOTHING, alerts: [resolved], notifications: [notificationOf(1)] });
  expect(store.firing()).toEqual([]);
  expect(store.resolved(undefined, 10)).toEqual([resolved]);
  expect(store.resolved(['cam-1'], 10)).toEqual([resolved]);
  expect(store.resolved(['cam-2'], 10)).toEqual([]);
  expect(store.undelivered()).toHaveLength(1);
});

test('the newest ten thousand resolved alerts and notifications are kept', async () => {
  await using folder = await temporaryFolder();
  using fleet = openFleetStore(folder.path);
  const store = createAlertStore(fleet.sqlite);
  const ids = Array.from({ length: 10_050 }, (_, i) => i + 1);
  // The first is resolved last.
  const alerts = ids.map((id) => alert(id, { state: 'resolved', resolvedTs: id === 1 ? 99_999 : id }));
  store.save({ ...NOTHING, alerts, notifications: ids.map((id) => notificationOf(id)) });
  const kept = store.resolved(undefined, 20_000);
  expect(kept).toHaveLength(10_000);
  expect([kept[0]?.id, kept.at(-1)?.id]).toEqual(['1', '52']);
  expect(store.undelivered()).toHaveLength(10_000);
  expect(store.undelivered()[0]?.id).toBe('51');
});

test('a device whose spells are over takes no room', async () => {
  await using folder = await temporaryFolder();
  using fleet = openFleetStore(folder.path);
  const store = createAlertStore(fleet.sqlite);
  const spell = { active: true, ts: 5, sinceTs: 5, reason: '' };
  store.save({ ...NOTHING, spells: new Map([['cam-1', { throttle: spell }]]) });
  store.save({ ...NOTHING, spells: new Map([['cam-1', {}]]) });
  expect(store.spells().size).toBe(0);
});
