import { expect, test } from 'vitest';
import { type DeviceFacts, digestOf } from '../../../controller/alerts/facts.ts';
import type { Sample } from '../../../controller/alerts/recent.ts';
import { DEVICE_RULES, hasNews, type Sight, type Verdict } from '../../../controller/alerts/rules.ts';
import { spellsAfter } from '../../../controller/alerts/spells.ts';
import type { AlertRule } from '../../../controller/api/alert-schemas.ts';
import type { EventRow } from '../../../controller/api/schemas.ts';
import { ALERTS_DEFAULTS, eventAt, factsAt, latestAt } from '../../support/alerts.ts';

const NOW = 1_700_000_000_000;

interface Scene extends Partial<Pick<Sight, 'recent' | 'hearingMs'>> {
  readonly device?: Partial<DeviceFacts>;
  readonly events?: readonly EventRow[];
}

function sightOf({ device = {}, events = [], recent = [], hearingMs = 3_600_000 }: Scene): Sight {
  const spells = spellsAfter(new Map(), events).get('cam-1') ?? {};
  return { device: factsAt(NOW, device), spells, recent, hearingMs, now: NOW, config: ALERTS_DEFAULTS };
}

function verdictOf(rule: AlertRule, scene: Scene): Verdict | undefined {
  return DEVICE_RULES.find((each) => each.rule === rule)?.check(sightOf(scene));
}

function samples(...misses: number[]): Sample[] {
  return misses.map((count, i) => ({
    ts: NOW - (misses.length - 1 - i) * 10_000,
    durationMs: 10_000,
    inferences: 100,
    misses: count,
    allowed: 0.05,
  }));
}

const violated = (ts: number) =>
  eventAt(ts, { kind: 'violation', limit: 'latency', state: 'begins', reason: 'no level is fast enough' });

test('a violation that began is found until it ends', () => {
  expect(verdictOf('budget-violated', { events: [violated(NOW - 5_000)] })).toEqual({
    sinceTs: NOW - 5_000,
    text: 'cannot be kept: latency; no level is fast enough',
  });
});

test('windows that meet the budget end a violation of which the end was never told', () => {
  const events = [violated(NOW - 60_000)];
  expect(verdictOf('budget-violated', { events, recent: samples(0, 1, 0) })).toBe('well');
  expect(verdictOf('budget-violated', { events, recent: samples(0, 9, 0) })).toMatchObject({
    sinceTs: NOW - 60_000,
  });
  const accuracy = eventAt(NOW, { kind: 'violation', limit: 'accuracy', state: 'begins', reason: 'r' });
  expect(verdictOf('budget-violated', { events: [accuracy], recent: samples(0, 0, 0) })).toMatchObject({
    text: 'cannot be kept: accuracy; r',
  });
});

test('too many misses are found in three windows in a row, and not where chance explains them', () => {
  expect(verdictOf('budget-violated', { recent: samples(20, 30, 25) })).toMatchObject({
    ripe: true,
    sinceTs: NOW - 30_000,
    text: '25 % of 300 inferences missed the latency budget in 3 windows; 5 % may',
  });
  expect(verdictOf('budget-violated', { recent: samples(20, 30) })).toBe('unknown');
  expect(verdictOf('budget-violated', { recent: samples(20, 5, 30) })).toBe('well');
  expect(verdictOf('budget-violated', { recent: samples(6, 7, 6) })).toBe('well');
});

test('a device is silent after three of its windows, and not before a minute', () => {
  const device = (agoMs: number, durationMs: number) => ({
    latest: latestAt(NOW - agoMs, { durationMs }),
    arrivedAgoMs: undefined,
  });
  expect(verdictOf('device-silent', { device: device(59_000, 10_000) })).toBe('well');
  expect(verdictOf('device-silent', { device: device(61_000, 10_000) })).toEqual({
    sinceTs: NOW - 61_000,
    text: 'no telemetry for 61 s',
  });
  expect(verdictOf('device-silent', { device: device(170_000, 60_000) })).toBe('well');
  expect(verdictOf('device-silent', { device: device(181_000, 60_000) })).toMatchObject({
    sinceTs: NOW - 181_000,
  });
});

test('a window that is an hour long from now on is waited for', () => {
  const report = { windowMs: 3_600_000, gpuPoints: 0, usableGpuPoints: 0, gpuReason: undefined };
  const device = { latest: latestAt(NOW - 600_000), arrivedAgoMs: 600_000, report };
  expect(verdictOf('device-silent', { device })).toBe('well');
});

test('whoever could not hear does not call others silent', () => {
  const device = { latest: latestAt(NOW - 600_000), arrivedAgoMs: undefined };
  expect(verdictOf('device-silent', { device, hearingMs: 0 })).toBe('unknown');
  expect(verdictOf('device-silent', { device, hearingMs: 59_000 })).toBe('unknown');
  expect(verdictOf('device-silent', { device, hearingMs: 61_000 })).toMatchObject({ sinceTs: NOW - 600_000 });
});

test('a device whose clock is wrong is heard by its arrivals', () => {
  const past = { latest: latestAt(NOW - 10 * 365 * 86_400_000), arrivedAgoMs: 5_000 };
  expect(verdictOf('device-silent', { device: past })).toBe('well');
  const future = { latest: latestAt(NOW + 86_400_000), arrivedAgoMs: 120_000 };
  expect(verdictOf('device-silent', { device: future })).toMatchObject({ sinceTs: NOW - 120_000 });
});

test('a device that never sent a window is silent', () => {
  const device = { latest: undefined, arrivedAgoMs: undefined, firstSeenTs: NOW - 120_000 };
  expect(verdictOf('device-silent', { device })).toMatchObject({
    text: 'known, but no telemetry of it ever came',
  });
});

test('there is no news of a silent device, nor in windows that waited long', () => {
  expect(hasNews(sightOf({}))).toBe(true);
  expect(hasNews(sightOf({ device: { latest: latestAt(NOW - 120_000), arrivedAgoMs: 120_000 } }))).toBe(
    false,
  );
  expect(hasNews(sightOf({ device: { latest: latestAt(NOW - 3_600_000), arrivedAgoMs: 0 } }))).toBe(false);
});

test('throttling is found by its events', () => {
  const events = [eventAt(NOW - 1, { kind: 'throttle', state: 'begins', reason: 'hot' })];
  expect(verdictOf('throttled', { events })).toEqual({ sinceTs: NOW - 1, text: 'throttled: hot' });
  expect(verdictOf('throttled', {})).toBe('well');
});

test('drift is found by events and by windows', () => {
  const events = [eventAt(NOW - 1, { kind: 'drift', state: 'begins', level: 2, reason: 'r' })];
  expect(verdictOf('drifting', { events })).toMatchObject({ text: 'drifting: level 2; r' });
  expect(verdictOf('drifting', { device: { latest: latestAt(NOW, { drifting: true }) } })).toMatchObject({
    sinceTs: NOW,
  });
  expect(verdictOf('drifting', { device: { latest: latestAt(NOW, { drifting: false }) } })).toBe('well');
});

test('a device with a GPU that runs on its CPU is found, unless that may be its choice', () => {
  const report = { windowMs: 10_000, gpuPoints: 4, usableGpuPoints: 4, gpuReason: undefined };
  const on = (pe: 'cpu' | 'gpu', requirement = {}) => ({
    device: { report, latest: latestAt(NOW, { pe, requirement }) },
  });
  expect(verdictOf('cpu-fallback', on('cpu'))).toMatchObject({ sinceTs: NOW });
  expect(verdictOf('cpu-fallback', on('gpu'))).toBe('well');
  expect(verdictOf('cpu-fallback', on('cpu', { powerW: 5 }))).toBe('well');
  expect(verdictOf('cpu-fallback', on('cpu', { price: 0.1 }))).toBe('well');
});

test('a GPU of which no operating point can be used is found, with the reason', () => {
  const point = { pe: 'gpu' as const, level: 0, accuracy: 0.7, latencyMs: 5 };
  const cpu = { ...point, pe: 'cpu' as const };
  const { gpuReason, ...digest } = digestOf({
    settings: { windowMs: 10_000 },
    operatingPoints: [{ ...point, usable: false, quarantined: 'it crashed' }, cpu],
  });
  expect({ gpuReason, ...digest }).toEqual({
    windowMs: 10_000,
    gpuPoints: 1,
    usableGpuPoints: 0,
    gpuReason: 'it crashed',
  });
  const found = verdictOf('cpu-fallback', { device: { report: { gpuReason, ...digest } } });
  expect(found).toMatchObject({ text: 'no operating point on the GPU can be used; it crashed' });
  const none = digestOf({ settings: {}, operatingPoints: [cpu] });
  expect(verdictOf('cpu-fallback', { device: { report: none } })).toBe('well');
});

test('an outbox is old after ten minutes', () => {
  const of = (outboxAgeMs: number) => ({ device: { latest: latestAt(NOW, { outboxAgeMs }) } });
  expect(verdictOf('outbox-old', of(600_000))).toBe('well');
  expect(verdictOf('outbox-old', of(720_000))).toMatchObject({
    text: 'records wait on the device for 12 min',
  });
});
