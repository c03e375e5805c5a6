import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadAgentConfig } from '../../../agent/config.ts';
import { stateFolder } from '../../support/agent.ts';

const load = (sources: Partial<Parameters<typeof loadAgentConfig>[0]> = {}) =>
  loadAgentConfig({ env: {}, flags: { device: 'jetson-1' }, ...sources });

test('flags go before the environment, the environment before the file, the file before the defaults', async () => {
  await using folder = await stateFolder();
  const file = join(folder.path, 'agent.yaml');
  await writeFile(
    file,
    'fleet: of-file\nframes: {rate: 10Hz}\nrequirement: {latencyMs: 30ms}\noutbox: {maxMebibytes: 7}\n',
  );
  const { values } = load({
    file,
    env: { OFA_AGENT_FLEET: 'of-env', OFA_AGENT_FRAME_RATE: '12Hz' },
    flags: { device: 'jetson-1', fleet: 'of-flag' },
  });
  expect(values).toMatchObject({
    device: 'jetson-1',
    fleet: 'of-flag',
    frames: { rate: 12 },
    requirement: { latencyMs: 30, missShare: null },
    outbox: { maxMebibytes: 7 },
    telemetry: { windowMs: 10_000 },
  });
});

test('a key that is not known is an error of the file', async () => {
  await using folder = await stateFolder();
  const file = join(folder.path, 'agent.yaml');
  await writeFile(file, 'frames: {reite: 10Hz}\n');
  expect(() => load({ file })).toThrow(expect.objectContaining({ code: 'config' }));
  expect(() => load({ file })).toThrow(/agent\.yaml.*frames\.reite/);
});

test.each([
  ['a wrong unit', { 'requirement.latencyMs': '5J' }, /--latency.*5J/],
  ['no unit', { 'requirement.latencyMs': '5' }, /--latency/],
  ['a word for a number', { 'frames.rate': 'fast' }, /--frame-rate/],
  ['no such choice', { 'requirement.priority': 'energy' }, /--priority/],
])('%s in a flag is an error of usage that names the flag', (_, flags, message) => {
  expect(() => load({ flags })).toThrow(expect.objectContaining({ code: 'usage' }));
  expect(() => load({ flags })).toThrow(message);
});

test.each([
  ['a device that is no id', { device: 'Jetson 1' }, /device: 'Jetson 1' is not an id/],
  ['a fleet that is no id', { fleet: '_ctl' }, /fleet: '_ctl' is not an id/],
  ['no frames at all', { 'frames.rate': '0Hz' }, /frame rate: 0/],
  ['windows that are too short', { 'telemetry.windowMs': '99ms' }, /window: 99 ms/],
  ['windows that are too long', { 'telemetry.windowMs': '2h' }, /window: 7200000 ms/],
  ['windows that are no whole number', { 'telemetry.windowMs': '100.5ms' }, /window: 100.5 ms/],
  ['no threads', { 'engine.threads': '0' }, /threads: 0/],
  ['a budget that nothing meets', { 'requirement.latencyMs': '0ms' }, /latency: 0 ms/],
  ['every inference late', { 'requirement.missShare': '100%' }, /miss share/],
  ['an accuracy above all', { 'requirement.accuracyFloor': '1.2' }, /accuracy floor/],
  ['a broker that is no address', { 'broker.url': 'broker' }, /broker url: 'broker'/],
])('%s: refused', (_, flags, message) => {
  expect(() => load({ flags: { device: 'jetson-1', ...flags } })).toThrow(message);
});

test('secrets are masked in print, and not taken in an address that is logged', () => {
  const loaded = load({ env: { OFA_AGENT_BROKER_USERNAME: 'jetson', OFA_AGENT_BROKER_PASSWORD: 'hunter2' } });
  expect(loaded.values.broker.password).toBe('hunter2');
  expect(loaded.print()).toContain('jetson');
  expect(loaded.print()).not.toContain('hunter2');
  const withPassword = () => load({ env: { OFA_AGENT_BROKER_URL: 'mqtt://jetson:hunter2@10.0.0.5' } });
  expect(withPassword).toThrow(/OFA_AGENT_BROKER_PASSWORD/);
  expect(withPassword).not.toThrow(/hunter2/);
});
