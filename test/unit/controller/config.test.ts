import { expect, test } from 'vitest';
import { loadControllerConfig } from '../../../controller/config.ts';

function load(flags: Record<string, string>, env: NodeJS.ProcessEnv = {}) {
  return loadControllerConfig({ env, flags });
}

test('by default everything listens on this machine only', () => {
  const { values } = load({});
  expect(values).toMatchObject({
    fleet: 'default',
    api: { host: '127.0.0.1', port: 7300 },
    broker: { embedded: true, host: '127.0.0.1', port: 1883, url: '' },
  });
});

test.each(['api.host', 'broker.host'])('%s beyond this machine needs a word', (path) => {
  expect(() => load({ [path]: '0.0.0.0' })).toThrow(/nothing is encrypted/);
  expect(() => load({ [path]: '0.0.0.0', 'security.allowPlaintext': 'true' })).not.toThrow();
  expect(() => load({ [path]: '127.0.0.1' })).not.toThrow();
  expect(() => load({ [path]: '::1' })).not.toThrow();
});

test('a broker must be somewhere', () => {
  expect(() => load({ 'broker.embedded': 'false' })).toThrow(/no broker/);
  expect(() => load({ 'broker.embedded': 'false', 'broker.url': 'mqtt://broker:1883' })).not.toThrow();
});

test('the name of the fleet must be an id', () => {
  expect(() => load({ fleet: 'My Fleet' })).toThrow(/is not an id/);
});

test('the password is taken from the environment and never printed', () => {
  const loaded = load({}, { OFA_FLEET_BROKER_PASSWORD: 'secret' });
  expect(loaded.values.broker.password).toBe('secret');
  expect(loaded.print()).not.toContain('secret');
});

test('the address of a broker is one, and holds no secret', () => {
  for (const url of ['broker', 'broker:1883', 'http://broker']) {
    expect(() => load({ 'broker.url': url })).toThrow(/broker\.url is not an address/);
  }
  const secret = () => load({ 'broker.url': 'mqtt://user:hunter2@broker:1883' });
  expect(secret).toThrow(/broker\.username and broker\.password/);
  expect(secret).not.toThrow(/hunter2/);
});

test('what is coarser is kept at least as long as what is finer', () => {
  const DAY_MS = 86_400_000;
  expect(load({}).values.retention).toEqual({
    ...{ rawMs: 7 * DAY_MS, minuteMs: 90 * DAY_MS, hourMs: 730 * DAY_MS, dayMs: 0 },
  });
  expect(load({ 'retention.rawMs': '3d' }).values.retention.rawMs).toBe(3 * DAY_MS);
  expect(() => load({ 'retention.rawMs': '100d' })).toThrow(
    'retention.rawMs (100d) must not be longer than retention.minuteMs (90d)',
  );
  expect(() => load({ 'retention.hourMs': '0s' })).not.toThrow();
  expect(() => load({ 'retention.hourMs': '0s', 'retention.dayMs': '900d' })).toThrow(/for ever.*900d/);
});

test('metrics are shown nowhere by default, and never to other machines', () => {
  expect(load({}).values.metrics.port).toBeNull();
  expect(load({ 'metrics.port': '0' }).values.metrics.port).toBe(0);
  expect(() => load({ 'metrics.port': '9464', 'metrics.host': '0.0.0.0' })).toThrow(/metrics\.host/);
});
