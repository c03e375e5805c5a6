import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadAgentConfig } from '../../../agent/config.ts';
import { statedRequirement } from '../../../agent/config-parts.ts';
import { LIMITS } from '../../../shared/protocol/requirement.ts';
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
  ['no such choice', { 'log.level': 'loud' }, /--log-level/],
  ['an unknown limit', { 'requirement.priority': 'speed' }, /--priority: .*'speed' is not a limit/],
  ['a limit that stands twice', { 'requirement.priority': 'energy,energy' }, /--priority: .*energy twice/],
  ['a power in joules', { 'requirement.powerW': '5J' }, /--power: .*is an energy/],
  ['a price that is half a number', { 'requirement.price': '12 apples' }, /--price/],
  ['a price that is none', { 'requirement.price': 'NaN' }, /--price/],
  ['threads that are no numbers', { 'engine.cpuThreads': '1,two' }, /--cpu-threads/],
  ['an empty word', { 'engine.elements': 'cpu,' }, /--elements/],
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
  ['a budget that nothing meets', { 'requirement.latencyMs': '0ms' }, /latencyMs: 0 is not/],
  ['every inference late', { 'requirement.missShare': '100%' }, /missShare: 1 is not/],
  ['an accuracy above all', { 'requirement.accuracyFloor': '1.2' }, /accuracyFloor: 1.2 is not/],
  ['a negative power', { 'requirement.powerW': '0W' }, /powerW: 0 is not a number above 0/],
  ['a temperature beyond all boards', { 'requirement.tempC': '200C' }, /tempC: 200 is not/],
  ['a price below nothing', { 'requirement.price': '-1' }, /price: -1 is not/],
  ['an element that is none', { 'engine.elements': 'cpu,npu' }, /elements: 'npu' is not one of cpu, gpu/],
  ['an element that stands twice', { 'engine.elements': 'cpu,cpu' }, /elements: 'cpu' is named twice/],
  ['a provider that is none', { 'engine.gpuProviders': 'vulkan' }, /gpu providers: 'vulkan'/],
  ['threads beyond all boards', { 'engine.cpuThreads': '1,1000' }, /threads: 1000/],
  ['no memory', { 'engine.memoryBytes': '0MB' }, /memory: 0 bytes/],
  ['half an energy model', { 'energy.idleW': '2W' }, /both the idle power and the active power/],
  ['more audits than inferences', { 'audit.share': '2' }, /audit share: 2/],
  ['sensors that are read all the time', { 'sensors.periodMs': '1ms' }, /sensors period: 1 ms/],
  ['a policy without a name', { 'manager.policy': '' }, /policy: ''/],
  ['a port that is none', { 'metrics.port': '70000' }, /metrics-port/],
  ['a broker that is no address', { 'broker.url': 'broker' }, /broker url: 'broker'/],
])('%s: refused', (_, flags, message) => {
  expect(() => load({ flags: { device: 'jetson-1', ...flags } })).toThrow(message);
});

test('the limits, the engine and the manager are stated by flags and by the environment', () => {
  const { values } = load({
    flags: { device: 'jetson-1', 'requirement.priority': 'accuracy,latency', 'manager.policy': 'static:2' },
    env: {
      OFA_AGENT_POWER: '12W',
      OFA_AGENT_ENERGY: '50mJ',
      OFA_AGENT_TEMP: '80C',
      OFA_AGENT_PRICE: '0.02',
      OFA_AGENT_ELEMENTS: 'cpu,gpu',
      OFA_AGENT_CPU_THREADS: '1,2,4',
      OFA_AGENT_GPU_PROVIDERS: 'cpu',
      OFA_AGENT_MEMORY: '64MiB',
      OFA_AGENT_IDLE_POWER: '2W',
      OFA_AGENT_ACTIVE_POWER: '5W',
      OFA_AGENT_AUDIT_SHARE: '2%',
      OFA_AGENT_SENSORS_PERIOD: '200ms',
    },
  });
  expect(values).toMatchObject({
    manager: { policy: 'static:2' },
    engine: { elements: ['cpu', 'gpu'], cpuThreads: [1, 2, 4], gpuProviders: ['cpu'], memoryBytes: 2 ** 26 },
    energy: { idleW: 2, activeW: 5 },
    audit: { share: 0.02 },
    sensors: { root: '/', periodMs: 200 },
  });
  expect(statedRequirement(values.requirement)).toEqual({
    ...{ powerW: 12, energyJ: 0.05, tempC: 80, price: 0.02, priority: 'accuracy,latency' },
  });
});

test('metrics are served only where a port is named', () => {
  expect(load().values.metrics).toEqual({ port: null });
  expect(load({ env: { OFA_AGENT_METRICS_PORT: '9464' } }).values.metrics).toEqual({ port: 9_464 });
});

test('without a word of it everything is as it was: one thread on the CPU, our policy, no limits', () => {
  const { values } = load();
  expect(values).toMatchObject({
    manager: { policy: 'ofa' },
    engine: { threads: null, elements: ['cpu'], cpuThreads: null, gpuProviders: ['tensorrt', 'cuda'] },
    energy: { idleW: null, activeW: null },
    audit: { share: 0.01 },
  });
  expect(statedRequirement(values.requirement)).toEqual({ priority: LIMITS.join(',') });
});

test('lists may stand in a file as lists', async () => {
  await using folder = await stateFolder();
  const file = join(folder.path, 'agent.yaml');
  await writeFile(file, 'engine: {elements: [cpu, gpu], cpuThreads: [1, 2], gpuProviders: "cuda,cpu"}\n');
  expect(load({ file }).values.engine).toMatchObject({
    elements: ['cpu', 'gpu'],
    cpuThreads: [1, 2],
    gpuProviders: ['cuda', 'cpu'],
  });
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
