import { expect, test } from 'vitest';
import { type Alerting, createAlerting } from '../../../controller/alerts/alerting.ts';
import type { LatestWindow } from '../../../controller/alerts/facts.ts';
import type { KnownDevices } from '../../../controller/alerts/gather.ts';
import type { AlertNotification } from '../../../controller/api/alert-schemas.ts';
import type { EventRow } from '../../../controller/api/schemas.ts';
import { createAlertStore } from '../../../controller/store/alert-store.ts';
import { openFleetStore } from '../../../controller/store/fleet-store.ts';
import { ALERTS_DEFAULTS, eventAt, latestAt, quietLog } from '../../support/alerts.ts';
import { manualClock } from '../../support/clock.ts';
import { temporaryFolder } from '../../support/temp.ts';

const throttle = (state: 'begins' | 'ends') => ({ kind: 'throttle', state, reason: 'hot' }) as const;

/** A controller with two devices around the alerts: real store, time of its own. */
async function watchedFleet() {
  const folder = await temporaryFolder();
  const clock = manualClock();
  const told: AlertNotification[] = [];
  const asked: (readonly string[])[] = [];
  const windows = new Map<string, LatestWindow>();
  let stalled: string | undefined;
  /** In the history, newest first. */
  const stored: EventRow[] = [];
  const contested = new Set<string>();
  const devices: KnownDevices = {
    all: () => ['cam-1', 'constructor'].map((id) => ({ id, firstSeenTs: clock.now() - 1_000 })),
    isContested: (id) => contested.has(id),
    reported: () => undefined,
  };
  const webhook = {
    post: async (batch: readonly AlertNotification[]) => {
      told.push(...batch);
      return { kind: 'delivered' as const };
    },
  };
  let fleet = openFleetStore(folder.path);
  let alerting: Alerting;
  const start = () => {
    alerting = createAlerting({
      clock,
      random: () => 0.5,
      log: quietLog,
      fleet: 'lab',
      config: ALERTS_DEFAULTS,
      store: createAlertStore(fleet.sqlite),
      webhook,
      devices,
      latest: async (ids) => {
        asked.push(ids);
        return Object.fromEntries(
          ids.flatMap((id) => {
            const window = windows.get(id);
            return window === undefined ? [] : [[id, window]];
          }),
        );
      },
      events: async ({ kind, since }) => stored.filter((row) => row.kind === kind && row.ts >= since),
      stalled: () => stalled,
      connected: () => true,
    });
    alerting.start();
  };
  start();
  const stop = async () => {
    await alerting[Symbol.asyncDispose]();
    fleet[Symbol.dispose]();
  };
  return {
    clock,
    told: () => told.map(({ rule, device, state }) => `${rule} ${device} ${state}`),
    asked,
    contested,
    stored,
    stall: (why: string | undefined) => {
      stalled = why;
    },
    alerting: () => alerting,
    /** Time in which every device sends its windows. */
    pass: async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 10_000) {
        for (const id of ['cam-1', 'constructor']) windows.set(id, latestAt(clock.now()));
        alerting.onNewest(['cam-1', 'constructor'].map((device) => ({ device })));
        await clock.advance(10_000);
      }
    },
    restart: async () => {
      await stop();
      fleet = openFleetStore(folder.path);
      start();
    },
    [Symbol.asyncDispose]: async () => {
      await stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

test('an alert fires, is listed, outlives restarts, is told of once, and is resolved once', async () => {
  await using fleet = await watchedFleet();
  await fleet.pass(20_000);
  fleet.alerting().onEvents([eventAt(fleet.clock.now(), throttle('begins'))]);
  await fleet.pass(30_000);
  const everything = { devices: undefined, state: undefined, limit: 10 };
  expect(fleet.alerting().list(everything)).toMatchObject([{ rule: 'throttled', state: 'pending' }]);
  expect(fleet.told()).toEqual([]);
  await fleet.pass(50_000);
  expect(fleet.alerting().firing()).toMatchObject({ throttled: 1, drifting: 0 });
  await fleet.restart();
  await fleet.pass(100_000);
  expect(fleet.alerting().list(everything)).toMatchObject([{ rule: 'throttled', state: 'firing' }]);
  expect(fleet.alerting().list({ ...everything, devices: ['constructor'] })).toEqual([]);
  expect(fleet.told()).toEqual(['throttled cam-1 firing']);
  fleet.alerting().onEvents([eventAt(fleet.clock.now(), throttle('ends'))]);
  await fleet.restart();
  await fleet.pass(100_000);
  expect(fleet.told()).toEqual(['throttled cam-1 firing', 'throttled cam-1 resolved']);
  expect(fleet.alerting().list(everything)).toEqual([]);
  expect(fleet.alerting().list({ ...everything, state: 'resolved' })).toMatchObject([{ rule: 'throttled' }]);
});

test('what was committed right before a kill, and not heard by the watch, is heard after the start', async () => {
  await using fleet = await watchedFleet();
  await fleet.pass(20_000);
  fleet.alerting().onEvents([eventAt(fleet.clock.now(), throttle('begins'))]);
  await fleet.pass(80_000);
  expect(fleet.told()).toEqual(['throttled cam-1 firing']);
  const beganTs = fleet.clock.now() - 80_000;
  fleet.stored.push(eventAt(fleet.clock.now(), throttle('ends')), eventAt(beganTs, throttle('begins')));
  await fleet.restart();
  await fleet.pass(100_000);
  expect(fleet.told()).toEqual(['throttled cam-1 firing', 'throttled cam-1 resolved']);
});

test('only devices that sent something are asked of the history again', async () => {
  await using fleet = await watchedFleet();
  await fleet.clock.advance(30_000);
  expect(fleet.asked).toEqual([['cam-1', 'constructor']]);
  fleet.alerting().onNewest([{ device: 'cam-1' }]);
  await fleet.clock.advance(20_000);
  expect(fleet.asked.slice(1)).toEqual([['cam-1']]);
});

test('devices that stop sending are silent, and a stalled history is told even where nothing can be stored', async () => {
  await using fleet = await watchedFleet();
  await fleet.pass(100_000);
  await fleet.clock.advance(80_000);
  expect(fleet.told()).toEqual(['device-silent cam-1 firing', 'device-silent constructor firing']);
  fleet.stall('the disk is full');
  await fleet.clock.advance(60_000);
  expect(fleet.told().slice(2)).toEqual(['history-stalled null firing']);
});

test('events wake the watch: it does not wait for its turn', async () => {
  await using fleet = await watchedFleet();
  await fleet.pass(20_000);
  const drift = { kind: 'drift', state: 'begins', level: 1, reason: 'audits' } as const;
  fleet.alerting().onEvents([eventAt(fleet.clock.now(), drift)]);
  await fleet.clock.advance(1_100);
  expect(fleet.told()).toEqual(['drifting cam-1 firing']);
});
