import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AlertsState, evaluate, stateOf } from '../../../controller/alerts/evaluate.ts';
import type { AlertInputs, DeviceFacts } from '../../../controller/alerts/facts.ts';
import { spellsAfter } from '../../../controller/alerts/spells.ts';
import type { AlertRow } from '../../../controller/api/alert-schemas.ts';
import { ALERTS_DEFAULTS, eventAt, factsAt, latestAt } from '../../support/alerts.ts';

const START = 1_700_000_000_000;
const EMPTY = stateOf({ firing: [], spells: new Map(), lastId: 0 });

/** Looks again and again, and keeps what fires and is resolved. */
function watch() {
  let state: AlertsState = EMPTY;
  let now = START;
  const changes: AlertRow[] = [];
  const look = (afterMs: number, inputs: Partial<AlertInputs> = {}): readonly AlertRow[] => {
    now += afterMs;
    const all = { devices: [], hearingMs: 3_600_000, stalled: undefined, ...inputs };
    const evaluation = evaluate(state, all, now, ALERTS_DEFAULTS);
    state = evaluation.state;
    changes.push(...evaluation.changes);
    return evaluation.changes;
  };
  return {
    look,
    device: (afterMs: number, change: Partial<DeviceFacts> = {}) =>
      look(afterMs, { devices: [factsAt(now + afterMs, change)] }),
    events: (...events: Parameters<typeof eventAt>[]) => {
      const changed = spellsAfter(
        state.spells,
        events.map((each) => eventAt(...each)),
      );
      state = { ...state, spells: new Map([...state.spells, ...changed]) };
    },
    /** As after a stop: only what is stored is known. */
    restart: () => {
      const rows = [...state.active.values()].map(({ row }) => row);
      const firing = rows.filter((row) => row.state === 'firing');
      state = stateOf({ firing, spells: state.spells, lastId: state.lastId });
    },
    now: () => now,
    changes,
    active: () => [...state.active.values()].map(({ row }) => [row.rule, row.state]),
  };
}

const hot = { kind: 'throttle', state: 'begins', reason: 'hot' } as const;
const cool = { ...hot, state: 'ends' } as const;

test('what is the matter is pending, fires after its time, and is resolved after calm', () => {
  const fleet = watch();
  fleet.events([START, hot]);
  expect(fleet.device(0)).toEqual([]);
  expect(fleet.active()).toEqual([['throttled', 'pending']]);
  for (let i = 0; i < 5; i += 1) expect(fleet.device(10_000)).toEqual([]);
  const [fired] = fleet.device(10_000);
  expect(fired).toMatchObject({
    rule: 'throttled',
    device: 'cam-1',
    state: 'firing',
    sinceTs: START,
    firedTs: START + 60_000,
  });
  fleet.events([fleet.now(), cool]);
  for (let i = 0; i < 6; i += 1) expect(fleet.device(10_000)).toEqual([]);
  expect(fleet.device(10_000)).toEqual([{ ...fired, state: 'resolved', resolvedTs: START + 130_000 }]);
  expect(fleet.active()).toEqual([]);
});

test('what comes and goes is one alert', () => {
  const fleet = watch();
  for (let i = 0; i < 40; i += 1) fleet.device(10_000, { identityConflict: i % 4 === 0 });
  expect(fleet.changes.map(({ state }) => state)).toEqual(['firing']);
});

test('what is over before its time is forgotten', () => {
  const fleet = watch();
  fleet.look(0, { stalled: 'disk full' });
  fleet.look(20_000, { stalled: 'disk full' });
  fleet.look(5_000);
  expect(fleet.active()).toEqual([]);
  fleet.look(1_000, { stalled: 'disk full' });
  expect(fleet.look(20_000, { stalled: 'disk full' })).toEqual([]);
  expect(fleet.look(10_000, { stalled: 'disk full' })).toMatchObject([
    { rule: 'history-stalled', device: null, severity: 'critical', text: 'nothing is taken in: disk full' },
  ]);
});

test('an old outbox that is emptied raises no alert of what has long been over', () => {
  const fleet = watch();
  fleet.events([START - 3_600_000, hot]);
  expect(fleet.device(0)).toEqual([]);
  fleet.events([START - 3_500_000, cool]);
  expect(fleet.device(1_000)).toEqual([]);
  expect(fleet.active()).toEqual([]);
});

test('what has lasted for long when the controller starts fires soon', () => {
  const fleet = watch();
  fleet.events([START - 3_600_000, hot]);
  fleet.device(0);
  expect(fleet.device(5_000)).toMatchObject([{ rule: 'throttled', sinceTs: START - 3_600_000 }]);
});

test('of a silent device nothing else is told, and nothing is resolved', () => {
  const fleet = watch();
  fleet.events([START - 3_600_000, hot]);
  fleet.device(0);
  fleet.device(10_000);
  const latest = latestAt(fleet.now());
  fleet.events([fleet.now(), cool]);
  for (let i = 0; i < 30; i += 1) {
    fleet.look(10_000, { devices: [factsAt(fleet.now(), { latest, arrivedAgoMs: undefined })] });
  }
  expect(fleet.active().sort()).toEqual([
    ['device-silent', 'firing'],
    ['throttled', 'firing'],
  ]);
});

test('a device that is known no more leaves no alert behind', () => {
  const fleet = watch();
  fleet.device(0, { identityConflict: true });
  for (let i = 0; i < 7; i += 1) fleet.look(10_000);
  expect(fleet.changes.map(({ state }) => state)).toEqual(['firing', 'resolved']);
});

test('a clock that jumps neither fires nor resolves', () => {
  const tenYears = 10 * 365 * 86_400_000;
  const fleet = watch();
  fleet.look(0, { stalled: 'full' });
  expect(fleet.look(-tenYears, { stalled: 'full' })).toEqual([]);
  fleet.look(10_000, { stalled: 'full' });
  fleet.look(10_000, { stalled: 'full' });
  expect(fleet.look(10_000, { stalled: 'full' })).toMatchObject([{ state: 'firing' }]);
  expect(fleet.look(10_000)).toEqual([]);
  const resolved = fleet.look(tenYears);
  // One step counts as a minute at most.
  expect(resolved.map(({ state }) => state)).toEqual(['resolved']);
  const ids = new Set(fleet.changes.map(({ id }) => id));
  expect(ids.size).toBe(1);
});

test('time in which the controller did not run is nobody’s calm', () => {
  const fleet = watch();
  fleet.device(0, { identityConflict: true });
  fleet.restart();
  expect(fleet.device(86_400_000)).toEqual([]);
  expect(fleet.active()).toEqual([['identity-conflict', 'firing']]);
});

test('each alert fires once and is resolved once, in turn, whatever happens and whenever it is restarted', () => {
  const step = fc.record({
    afterMs: fc.oneof(fc.constant(10_000), fc.integer({ min: -100_000, max: 200_000 })),
    conflict: fc.boolean(),
    stalled: fc.boolean(),
    restart: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const fleet = watch();
      for (const { afterMs, conflict, stalled, restart } of steps) {
        if (restart) fleet.restart();
        fleet.look(afterMs, {
          devices: [factsAt(fleet.now() + afterMs, { identityConflict: conflict })],
          stalled: stalled ? 'full' : undefined,
        });
      }
      for (const rule of ['identity-conflict', 'history-stalled']) {
        const mine = fleet.changes.filter((change) => change.rule === rule);
        mine.forEach(({ state, id }, i) => {
          expect(state).toBe(i % 2 === 0 ? 'firing' : 'resolved');
          expect(id === mine[i - 1]?.id).toBe(i % 2 === 1);
        });
      }
    }),
  );
});
