import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Spawn } from '../../../agent/sensors/processes.ts';
import type { SensorReading } from '../../../agent/sensors/reading.ts';
import { createSensors, type SensorsOptions } from '../../../agent/sensors/sensors.ts';
import type { SensorHealth } from '../../../agent/sensors/unit.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';
import {
  devfreqGpu,
  hwmon,
  ina238,
  JETSON,
  plant,
  proc,
  rapl,
  type Tree,
  thermalZones,
  under,
} from '../../support/sysfs.ts';
import { temporaryFolder } from '../../support/temp.ts';

const PERIOD_MS = 1_000;

interface Device extends AsyncDisposable {
  readonly root: string;
  readonly clock: ManualClock;
  readonly told: SensorHealth[];
  sample(): Promise<SensorReading>;
  /** A period later, with files changed. */
  later(tree?: Tree, ms?: number): Promise<SensorReading>;
  states(): Record<string, string>;
}

const noProgram: Spawn = () => ({
  output: new ReadableStream({ start: (stream) => stream.close() }),
  kill: () => undefined,
});

async function device(tree: Tree, options: Partial<SensorsOptions> = {}): Promise<Device> {
  const folder = await temporaryFolder();
  await plant(folder.path, tree);
  const clock = manualClock();
  const told: SensorHealth[] = [];
  const sensors = createSensors({
    root: folder.path,
    clock,
    random: () => 0,
    periodMs: PERIOD_MS,
    onHealth: (health) => told.push(health),
    exec: async () => 'NV Power Mode: 15W\n0\n',
    spawn: noProgram,
    ...options,
  });
  return {
    root: folder.path,
    clock,
    told,
    sample: sensors.sample,
    later: async (changed = {}, ms = PERIOD_MS) => {
      await plant(folder.path, changed);
      await clock.advance(ms);
      return await sensors.sample();
    },
    states: () => Object.fromEntries(sensors.health().map(({ name, state }) => [name, state])),
    [Symbol.asyncDispose]: async () => {
      await sensors[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const orinPower = (milliamperes: string | null, index = 3): Tree =>
  under(
    'sys',
    hwmon('1-0040', index, [
      ['VDD_IN', '5000', milliamperes],
      ['NC', '0', null],
      ['VDD_SOC', '5000', '9'],
    ]),
  );
const zones = (cpu: string | null, gpu: string | null): Tree =>
  under(
    'sys',
    thermalZones([
      ['cpu-thermal', cpu],
      ['gpu-thermal', gpu],
      ['PMIC-Die', '100000'],
    ]),
  );
const gpu = (load: string): Tree => under('sys', devfreqGpu('17000000.gpu', 'gpu', load, '612000000'));
const ORIN: Tree = {
  ...JETSON,
  ...orinPower('1000'),
  ...zones('45000', '47500'),
  ...gpu('250'),
  ...proc(100, 900),
  'sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq': '1510400',
  'var/lib/nvpmodel/status': 'pmode:0000',
  'etc/nvpmodel.conf': '< POWER_MODEL ID=0 NAME=15W >',
};
const SERVER: Tree = { ...proc(0, 0), ...under('sys', rapl('package-0', 0, '0', '262143328850')) };

describe('a Jetson Orin', () => {
  it('tells everything at its second reading', async () => {
    await using orin = await device(ORIN);
    expect(await orin.sample()).toMatchObject({ powerW: 5, energyJ: undefined, cpuBusy: undefined });
    expect(await orin.later({ ...orinPower('2000'), ...proc(160, 940) })).toEqual({
      atMs: PERIOD_MS,
      tempC: 47.5,
      hottestZone: 'gpu',
      powerW: 10,
      energyJ: 7.5,
      energyOverMs: PERIOD_MS,
      powerQuality: 'measured',
      powerScope: 'module',
      powerSource: 'INA3221 VDD_IN',
      gpuLoad: 0.25,
      gpuFreqHz: 612e6,
      cpuFreqHz: 1_510_400_000,
      cpuBusy: 0.6,
      memAvailableBytes: 2_048_000_000,
      psi: { cpu: 0.125, memory: 0.02, memoryFull: 0.01 },
      powerMode: '15W',
    });
    expect(orin.told).toEqual([]);
    expect(new Set(Object.values(orin.states()))).toEqual(new Set(['ok']));
  });

  it('goes on without a power sensor that fails, and finds it again under another index', async () => {
    await using orin = await device(ORIN);
    await orin.sample();
    const out = await orin.later(orinPower(null));
    expect(out).toMatchObject({
      powerW: undefined,
      energyJ: undefined,
      powerQuality: 'unknown',
      tempC: 47.5,
    });
    expect(await orin.later()).toMatchObject({ powerQuality: 'unknown', gpuLoad: 0.25 });
    await rm(join(orin.root, 'sys/bus'), { recursive: true });
    expect(await orin.later(orinPower('1200', 5))).toMatchObject({ powerW: 6, powerQuality: 'measured' });
    expect(orin.told.filter(({ name }) => name === 'power').map(({ state }) => state)).toEqual([
      'missing',
      'ok',
    ]);
  });

  it('takes out power that is frozen while the load varies, or absurd, and nothing else', async () => {
    await using orin = await device(ORIN);
    await orin.sample();
    for (let count = 0; count < 10; count += 1) await orin.later(gpu(count % 2 === 0 ? '900' : '100'));
    expect(orin.states()).toMatchObject({ power: 'frozen', gpu: 'ok', temperature: 'ok' });
    expect(await orin.later()).toMatchObject({ powerW: undefined, powerQuality: 'unknown', gpuLoad: 0.1 });
    expect(await orin.later(orinPower('1100'))).toMatchObject({ powerW: 5.5, powerQuality: 'measured' });
    expect(await orin.later(orinPower('-1100'))).toMatchObject({
      powerW: undefined,
      powerQuality: 'unknown',
    });
    expect(await orin.later(orinPower('999999'))).toMatchObject({ powerW: undefined });
    expect(await orin.later(orinPower('1300'))).toMatchObject({ powerW: 6.5 });
    expect(orin.told.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'power frozen',
      'tegrastats missing',
      'power ok',
      'power absurd',
      'power ok',
    ]);
  });

  it('tells the hottest zone that can be read, and has none of them tell more than there can be', async () => {
    await using orin = await device({ ...ORIN, ...zones('45000', '-256000') });
    expect(await orin.sample()).toMatchObject({ tempC: 45, hottestZone: 'cpu' });
    expect(await orin.later(zones('45000', '99999999'))).toMatchObject({ tempC: 45, hottestZone: 'cpu' });
    expect(orin.told).toMatchObject([{ name: 'temperature gpu', state: 'absurd' }]);
    expect(await orin.later(zones(null, '51000'))).toMatchObject({ tempC: 51, hottestZone: 'gpu' });
    expect(await orin.later(zones(null, null))).toMatchObject({ tempC: undefined, hottestZone: undefined });
    expect(orin.told.at(-1)).toMatchObject({ name: 'temperature', state: 'missing' });
    expect(orin.states()).toMatchObject({
      temperature: 'missing',
      'temperature gpu': 'missing',
      power: 'ok',
    });
    expect(await orin.later(zones('46000', '50000'))).toMatchObject({ tempC: 50, hottestZone: 'gpu' });
  });

  it('finds a GPU that appears long after boot', async () => {
    const late = Object.fromEntries(Object.entries(ORIN).filter(([path]) => !path.includes('devfreq')));
    await using orin = await device(late);
    expect(await orin.sample()).toMatchObject({ gpuLoad: undefined, gpuFreqHz: undefined });
    expect(await orin.later(gpu('500'))).toMatchObject({ gpuLoad: 0.5, gpuFreqHz: 612e6 });
  });

  it('tells what tegrastats prints where files tell nothing, and ends it when they do', async () => {
    const line = 'GR3D_FREQ 10%@1300 cpu@57.125C gpu@58.625C VDD_IN 16000mW/11204mW VDD_SOC 3120mW/3659mW\n';
    const calls: string[] = [];
    const { readable, writable } = new TransformStream<string, string>(undefined, undefined, {
      highWaterMark: 9,
    });
    const writer = writable.getWriter();
    const spawn: Spawn = (file, args) => {
      calls.push([file, ...args].join(' '));
      return { output: readable, kill: () => calls.push('kill') };
    };
    await using orin = await device({ ...JETSON, ...proc(0, 0) }, { spawn });
    expect(await orin.sample()).toMatchObject({ powerQuality: 'unknown' });
    await writer.write(line);
    const first = {
      powerW: 16,
      powerScope: 'module',
      powerSource: 'tegrastats VDD_IN',
      tempC: 58.625,
      gpuLoad: 0.1,
    };
    expect(await orin.later()).toMatchObject(first);
    await writer.write(line.replace('16000mW', '18000mW'));
    expect(await orin.later()).toMatchObject({ powerW: 18, energyJ: 17, energyOverMs: PERIOD_MS });
    await writer.write(line.replace('16000mW', '0mW'));
    expect(await orin.later()).toMatchObject({ powerW: undefined, tempC: 58.625 });
    expect(orin.states()).toMatchObject({ tegrastats: 'ok', 'tegrastats power': 'absurd' });
    expect(await orin.later(ORIN)).toMatchObject({ powerSource: 'INA3221 VDD_IN', gpuLoad: 0.25 });
    expect(calls).toEqual(['tegrastats --interval 1000', 'kill']);
  });
});

test('a Jetson Thor tells the power of its board and no load of its GPU', async () => {
  const thorGpu = under('sys', devfreqGpu('gpu-gpc-0', 'gb10b', null, '1575000000'));
  await using thor = await device({
    ...JETSON,
    ...under('sys', ina238('2-0044', 7, '28906000')),
    ...thorGpu,
    ...proc(0, 0),
  });
  expect(await thor.sample()).toMatchObject({
    powerW: 28.906,
    powerScope: 'board',
    powerSource: 'INA238 VIN',
    gpuLoad: undefined,
    gpuFreqHz: 1.575e9,
  });
});

describe('a machine that is no Jetson', () => {
  it('tells what its processors used', async () => {
    await using server = await device(SERVER);
    expect(await server.sample()).toMatchObject({ powerQuality: 'unknown', energyJ: undefined });
    const busy = { ...proc(50, 50), ...under('sys', rapl('package-0', 0, '24000000', '262143328850')) };
    expect(await server.later(busy, 2_000)).toMatchObject({
      powerW: 12,
      energyJ: 24,
      energyOverMs: 2_000,
      powerQuality: 'measured',
      powerScope: 'package',
      cpuBusy: 0.5,
    });
    expect(server.states()).toMatchObject({ power: 'ok', gpu: 'missing', 'power mode': 'missing' });
    expect(server.states()).not.toHaveProperty('tegrastats');
  });

  it('takes out a counter that stands, and tells no energy twice when it counts again', async () => {
    await using server = await device(SERVER, { energyModel: { idleW: 10, activeW: 20 } });
    const count = (uj: string, busy: number): Tree => ({
      ...proc(busy, 1_000),
      ...under('sys', rapl('package-0', 0, uj, '262143328850')),
    });
    await server.sample();
    await server.later(count('5000000', 100));
    expect(await server.later(count('5000000', 200))).toMatchObject({
      powerW: 30,
      powerQuality: 'modelled',
      powerScope: undefined,
    });
    expect(await server.later(count('5000000', 300))).toMatchObject({ energyJ: 30, energyOverMs: PERIOD_MS });
    const back = await server.later(count('9000000', 400));
    expect(back).toMatchObject({ powerQuality: 'measured', powerW: 4, energyJ: undefined });
    expect(await server.later(count('15000000', 500))).toMatchObject({ powerW: 6, energyJ: 6 });
  });

  it('tells modelled power as such, and none before it knows how busy it is', async () => {
    await using box = await device(proc(0, 0), { energyModel: { idleW: 4, activeW: 6 } });
    expect(await box.sample()).toMatchObject({ powerW: undefined, powerQuality: 'unknown' });
    const modelled = { powerW: 7, energyJ: undefined, powerQuality: 'modelled', powerSource: 'energy model' };
    expect(await box.later(proc(50, 50))).toMatchObject(modelled);
    expect(await box.later(proc(150, 50))).toMatchObject({
      powerW: 10,
      energyJ: 10,
      energyOverMs: PERIOD_MS,
    });
  });

  it('tells that it knows nothing where there is nothing, once for each sensor', async () => {
    await using nothing = await device({});
    for (let count = 0; count < 5; count += 1) {
      const { atMs, powerQuality, ...rest } = await nothing.later();
      expect({ atMs, powerQuality }).toEqual({ atMs: (count + 1) * PERIOD_MS, powerQuality: 'unknown' });
      expect(new Set(Object.values(rest))).toEqual(new Set([undefined]));
    }
    const names = nothing.told.map(({ name }) => name);
    expect(names.toSorted()).toEqual([
      'cpu',
      'cpu frequency',
      'gpu',
      'memory',
      'power',
      'power mode',
      'pressure',
      'temperature',
    ]);
    expect(new Set(nothing.told.map(({ state }) => state))).toEqual(new Set(['missing']));
  });

  it('tells the temperature that hwmon shows where there is no thermal zone', async () => {
    await using box = await device({
      'sys/class/hwmon/hwmon2/name': 'k10temp',
      'sys/class/hwmon/hwmon2/temp1_input': '61250',
    });
    expect(await box.sample()).toMatchObject({ tempC: 61.25, hottestZone: 'k10temp' });
  });
});

test('readings asked for at once are one', async () => {
  await using orin = await device(ORIN);
  const [first, second] = await Promise.all([orin.sample(), orin.sample()]);
  expect(first).toBe(second);
});

test('whatever the files hold and wherever the clock goes, what is told is possible or not known', async () => {
  const content = fc.oneof(
    fc.constantFrom('', 'nan', '-5', '0', '1e3', '99999999999999999999', null),
    fc.integer({ min: -1e6, max: 1e7 }).map(String),
  );
  const files = fc.record({ power: content, zone: content, load: content, frequency: content });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(files, fc.integer({ min: -5_000, max: 5_000 })), { maxLength: 6 }),
      async (steps) => {
        const clock = manualClock();
        let shiftMs = 0;
        const shifted = { ...clock, monoMs: () => clock.monoMs() + shiftMs };
        await using orin = await device(ORIN, { clock: shifted });
        for (const [{ power, zone, load, frequency }, byMs] of steps) {
          shiftMs += byMs;
          const gpuFiles = under('sys', devfreqGpu('17000000.gpu', 'gpu', load, frequency));
          const reading = await orin.later({ ...orinPower(power), ...zones(zone, zone), ...gpuFiles });
          const {
            powerW = 1,
            energyJ = 0,
            energyOverMs = 1,
            tempC = 0,
            gpuLoad = 0,
            gpuFreqHz = 1,
          } = reading;
          expect(reading.powerQuality).toBe(reading.powerW === undefined ? 'unknown' : 'measured');
          expect(powerW > 0 && powerW <= 500 && energyJ >= 0 && energyOverMs > 0).toBe(true);
          expect(tempC >= -40 && tempC <= 150 && gpuLoad >= 0 && gpuLoad <= 1 && gpuFreqHz > 0).toBe(true);
        }
      },
    ),
    { numRuns: 20 },
  );
});
