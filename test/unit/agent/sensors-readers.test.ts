import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { openCooling } from '../../../agent/sensors/cooling.ts';
import { busyShare, openCpuFrequency, parseCpuTimes } from '../../../agent/sensors/cpu.ts';
import { energyBetween, modelledWatts, type PowerPoint } from '../../../agent/sensors/energy.ts';
import { openGpu } from '../../../agent/sensors/gpu.ts';
import { openMemory, openPressure } from '../../../agent/sensors/memory.ts';
import { isJetson, openPowerMode, readPowerMode } from '../../../agent/sensors/power-mode.ts';
import { execProgram, spawnProgram } from '../../../agent/sensors/processes.ts';
import { findHwmonZones, findThermalZones, type Zone, zoneName } from '../../../agent/sensors/thermal.ts';
import { manualClock } from '../../support/clock.ts';
import { devfreqGpu, JETSON, plant, proc, type Tree, thermalZones, under } from '../../support/sysfs.ts';
import { temporaryFolder } from '../../support/temp.ts';

async function planted(tree: Tree): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await temporaryFolder();
  await plant(folder.path, tree);
  return folder;
}

async function temperatures(zones: readonly Zone[]): Promise<Record<string, number | string>> {
  const read = zones.map(
    async ({ name, readTempC }) => [name, await readTempC().catch((error: Error) => error.name)] as const,
  );
  return Object.fromEntries(await Promise.all(read));
}

describe('cooling devices', () => {
  const cooling = (devices: readonly (readonly [type: string, state: string | null])[]): Tree =>
    Object.fromEntries(
      devices.flatMap(([type, state], index) => [
        [`sys/class/thermal/cooling_device${index}/type`, type],
        [`sys/class/thermal/cooling_device${index}/cur_state`, state],
      ]),
    );

  it('that slow something down are told while they do, fans and what cannot be read are not', async () => {
    const devices = [
      ['pwm-fan', '3'],
      ['cpufreq-cpu0', '2'],
      ['devfreq-17000000.gpu', '0'],
      ['Processor', '1'],
      ['Processor', '1'],
      ['gpu-throttle-alert', null],
    ] as const;
    await using root = await planted(cooling(devices));
    const { read } = await openCooling(root.path);
    expect(await read()).toEqual(['cpufreq-cpu0', 'Processor']);
    await plant(root.path, cooling(devices.map(([type]) => [type, '0'])));
    expect(await read()).toEqual([]);
  });

  it('that only turn fans tell nothing', async () => {
    await using root = await planted(cooling([['pwm-fan', '3']]));
    expect(await (await openCooling(root.path)).read()).toBeUndefined();
  });
});

describe('thermal zones', () => {
  it.each([
    ['CPU-therm', 'cpu'],
    ['cpu-thermal', 'cpu'],
    ['CPU', 'cpu'],
    ['Tboard_tegra', 'tboard'],
    ['thermal-fan-est', 'thermal'],
    ['x86_pkg_temp', 'x86_pkg_temp'],
  ])('%s is called %s', (raw, name) => {
    expect(zoneName(raw)).toBe(name);
  });

  it('are all of the kernel’s but made-up ones, with those of engines that are off failing', async () => {
    await using root = await planted(
      under(
        'sys',
        thermalZones([
          ['CPU-therm', '41500'],
          ['PMIC-Die', '100000'],
          ['GPU-therm', '-256000'],
          ['cv0-thermal', null],
          ['cpu-thermal', '42000'],
          ['iwlwifi_1', '70000'],
          ['tj-thermal', 'hot'],
        ]),
      ),
    );
    expect(await temperatures(await findThermalZones(root.path))).toEqual({
      cpu: 41.5,
      gpu: 'AppError',
      cv0: 'AppError',
      cpu2: 42,
      tj: 'AppError',
    });
  });

  it('are found in the class of the kernel as well', async () => {
    await using root = await planted({
      'sys/class/thermal/thermal_zone3/type': 'acpitz',
      'sys/class/thermal/thermal_zone3/temp': '27800',
    });
    expect(await temperatures(await findThermalZones(root.path))).toEqual({ acpitz: 27.8 });
  });

  it('of hwmon are those of processors and boards, by their labels', async () => {
    await using root = await planted({
      'sys/class/hwmon/hwmon4/name': 'k10temp',
      'sys/class/hwmon/hwmon4/temp1_input': '55000',
      'sys/class/hwmon/hwmon4/temp1_label': 'Tctl',
      'sys/class/hwmon/hwmon9/name': 'soc_dts0',
      'sys/class/hwmon/hwmon9/temp1_input': '44000',
      'sys/class/hwmon/hwmon1/name': 'nvme',
      'sys/class/hwmon/hwmon1/temp1_input': '80000',
    });
    expect(await temperatures(await findHwmonZones(root.path))).toEqual({ tctl: 55, soc_dts0: 44 });
  });
});

describe('the GPU of a Jetson', () => {
  it.each<[string, Tree, object]>([
    [
      'AGX Xavier',
      under('sys', devfreqGpu('17000000.gv11b', 'gv11b', '125', '318750000')),
      { load: 0.125, freqHz: 318_750_000 },
    ],
    [
      'Orin, JetPack 5',
      under('sys', devfreqGpu('17000000.ga10b', 'ga10b', '0', '306000000')),
      { load: 0, freqHz: 306e6 },
    ],
    [
      'Orin, JetPack 7',
      under('sys', devfreqGpu('17000000.gpu', 'gpu', '1000', '1300500000')),
      { load: 1, freqHz: 1_300_500_000 },
    ],
    [
      'Thor, without a load',
      under('sys', devfreqGpu('gpu-gpc-0', 'gb10b', null, '1575000000')),
      { load: undefined, freqHz: 1.575e9 },
    ],
    [
      'without a device tree, beside other devices',
      { 'sys/class/devfreq/bwmgr/cur_freq': '1', 'sys/class/devfreq/gpu-gpc-0/cur_freq': '315000000' },
      { load: undefined, freqHz: 315e6 },
    ],
    [
      'Nano, JetPack 4',
      { 'sys/devices/gpu.0/load': '37', 'sys/devices/gpu.0/devfreq/57000000.gpu/cur_freq': '76800000' },
      { load: 0.037, freqHz: 76_800_000 },
    ],
    [
      'an old path without a frequency',
      { 'sys/devices/platform/gpu.0/load': '500' },
      { load: 0.5, freqHz: undefined },
    ],
  ])('%s', async (_case, tree, expected) => {
    await using root = await planted(tree);
    expect(await (await openGpu(root.path)).read()).toEqual(expected);
  });

  it('is none where there is none, and fails where its files do', async () => {
    await using root = await planted({ 'sys/class/devfreq/17000000.vic/device/of_node/name': 'vic' });
    await expect(openGpu(root.path)).rejects.toMatchObject({ code: 'system' });
    await plant(root.path, under('sys', devfreqGpu('17000000.gpu', 'gpu', '1001', '1300500000')));
    await expect((await openGpu(root.path)).read()).rejects.toThrow('1001, expected 0 to 1000');
    await plant(root.path, under('sys', devfreqGpu('17000000.gpu', 'gpu', null, null)));
    await expect((await openGpu(root.path)).read()).rejects.toThrow('cannot be read');
  });
});

describe('processors and memory', () => {
  it('are busy with all but idling and waiting for disks', () => {
    const before = parseCpuTimes('cpu  100 10 50 800 40 0 0 0 60 0\ncpu0 1 2 3');
    const after = parseCpuTimes('cpu  130 10 60 850 50 0 0 0 90 0\n');
    expect(busyShare(before, after)).toBeCloseTo(0.4, 9);
    expect(busyShare(after, after)).toBeUndefined();
    expect(busyShare(after, before)).toBeUndefined();
    expect(() => parseCpuTimes('intr 5')).toThrow('/proc/stat: begins with "intr 5"');
  });

  test('a busy share is one, whatever the counters do', () => {
    const ticks = fc.array(fc.nat(1e6), { minLength: 8, maxLength: 10 });
    fc.assert(
      fc.property(ticks, ticks, (before, after) => {
        const [first, second] = [before, after].map((times) => parseCpuTimes(`cpu  ${times.join(' ')}\n`));
        const share = first && second && busyShare(first, second);
        if (share !== undefined) expect(Math.abs(share - 0.5)).toBeLessThanOrEqual(0.5);
      }),
    );
  });

  it('tell the frequency of the fastest processor, in either form, also when some are off', async () => {
    await using root = await planted({
      'sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq': '729600',
      'sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq': null,
      'sys/devices/system/cpu/cpuidle/current_driver': 'x',
    });
    expect(await (await openCpuFrequency(root.path)).read()).toBe(729_600_000);
    await plant(root.path, {
      'sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq': '1500000',
      'sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq': '2200000',
    });
    expect(await (await openCpuFrequency(root.path)).read()).toBe(2.2e9);
    await rm(join(root.path, 'sys'), { recursive: true });
    await expect((await openCpuFrequency(root.path)).read()).rejects.toMatchObject({ code: 'system' });
  });

  it('tell memory that is left and work that waits, or fail', async () => {
    await using root = await planted(proc(0, 0));
    expect(await (await openMemory(root.path)).read()).toBe(2_048_000_000);
    expect(await (await openPressure(root.path)).read()).toEqual({
      cpu: 0.125,
      memory: 0.02,
      memoryFull: 0.01,
    });
    await plant(root.path, { 'proc/meminfo': 'MemTotal: 1 kB', 'proc/pressure/memory': 'some avg10=nan ' });
    await expect((await openMemory(root.path)).read()).rejects.toThrow('has no MemAvailable');
    await expect((await openPressure(root.path)).read()).rejects.toThrow('expected a line of "some avg10"');
  });
});

describe('the power mode of a Jetson', () => {
  const CONFIG =
    '# < POWER_MODEL ID=2 NAME=OLD >\n< POWER_MODEL ID=0 NAME=MAXN >\nX 1\n< POWER_MODEL ID=2 NAME=MODE_15W >';
  const status = { 'var/lib/nvpmodel/status': 'pmode:0002 fmode:quiet' };
  const answers = (text: string) => async () => text;
  const refuses = async (): Promise<string> => {
    throw new Error('spawn nvpmodel ENOENT');
  };

  it.each<[string, Tree, () => Promise<string>, string]>([
    ['by files', { ...status, 'etc/nvpmodel.conf': CONFIG }, refuses, 'MODE_15W'],
    ['by asking', JETSON, answers('NV Power Mode: MODE_30W_ALL\n2\n'), 'MODE_30W_ALL'],
    [
      'by asking, warned',
      JETSON,
      answers('NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0\n'),
      'MAXN',
    ],
    ['by its number alone', { ...JETSON, ...status }, refuses, 'mode 2'],
    ['by the number of an answer', JETSON, answers('7'), 'mode 7'],
  ])('is known %s', async (_case, tree, exec, mode) => {
    await using root = await planted(tree);
    expect(await readPowerMode(root.path, exec)).toBe(mode);
  });

  it('is not known of another machine, nor where asking fails', async () => {
    await using root = await planted({});
    expect(await isJetson(root.path)).toBe(false);
    await expect(readPowerMode(root.path, answers('NV Power Mode: MAXN'))).rejects.toThrow('no Jetson');
    await plant(root.path, JETSON);
    await expect(readPowerMode(root.path, refuses)).rejects.toThrow('ENOENT');
    await expect(readPowerMode(root.path, answers('NVPM ERROR'))).rejects.toThrow('names no power mode');
  });

  it('is asked for once a minute, and never waited for', async () => {
    await using root = await planted(JETSON);
    const clock = manualClock();
    const answer = Promise.withResolvers<string>();
    let asked = 0;
    const exec = async (): Promise<string> => {
      asked += 1;
      return await answer.promise;
    };
    const source = await openPowerMode(root.path, exec, clock);
    expect(await source.read()).toBeUndefined();
    answer.resolve('NV Power Mode: 15W\n0\n');
    await expect.poll(async () => await source.read()).toBe('15W');
    expect(asked).toBe(1);
    await clock.advance(60_000);
    expect(await source.read()).toBe('15W');
    await expect.poll(() => asked).toBe(2);
  });
});

describe('energy', () => {
  const point = (atMs: number, watts: number, source = 'a'): PowerPoint => ({
    atMs,
    watts,
    source,
    quality: 'measured',
    scope: 'module',
  });

  it('is the trapezoid of sampled power, and power times time of modelled power', () => {
    expect(energyBetween(point(0, 4), point(2_000, 6), 5_000)).toEqual({ energyJ: 10, overMs: 2_000 });
    const model = { ...point(2_000, 6), quality: 'modelled' } as const;
    expect(energyBetween(point(0, 4), model, 5_000)).toEqual({ energyJ: 12, overMs: 2_000 });
  });

  it('is not known from one point, of two sources, over a gap, or when time stood or went back', () => {
    const now = point(10_000, 5);
    for (const before of [undefined, point(9_000, 5, 'b'), point(0, 5), point(10_000, 5), point(11_000, 5)]) {
      expect(energyBetween(before, now, 5_000)).toBeUndefined();
    }
  });

  it('that was counted is not told again where another source has stood in', () => {
    const counted = { ...point(10_000, 5), counted: { energyJ: 50, overMs: 10_000 } };
    expect(energyBetween(point(0, 5), counted, 5_000)).toEqual(counted.counted);
    expect(energyBetween(point(9_000, 5, 'energy model'), counted, 5_000)).toBeUndefined();
  });

  it('model: idle watts and active watts times busy share; none where that is no power', () => {
    expect(modelledWatts({ idleW: 5, activeW: 10 }, 0.25)).toBe(7.5);
    expect(modelledWatts({ idleW: 5, activeW: 10 }, 7)).toBe(15);
    expect(modelledWatts({ idleW: 0, activeW: 0 }, 1)).toBeUndefined();
    expect(modelledWatts({ idleW: -1, activeW: 9 }, 1)).toBeUndefined();
    expect(modelledWatts({ idleW: 5, activeW: 10 }, Number.NaN)).toBeUndefined();
  });
});

describe('programs of this machine', () => {
  it('are run to their end, or stopped', async () => {
    expect(await execProgram(process.execPath, ['-p', '6*7'], 10_000)).toBe('42\n');
    await expect(execProgram('/no/such/program', [], 1_000)).rejects.toThrow('ENOENT');
    await expect(execProgram(process.execPath, ['-e', 'setTimeout(() => {}, 1e6)'], 50)).rejects.toThrow();
  });

  it('that print for ever end when they are killed, and one that is not there prints nothing', async () => {
    const child = spawnProgram(process.execPath, ['-e', "setInterval(() => console.log('line'), 5)"]);
    let text = '';
    for await (const chunk of child.output) {
      text += chunk;
      child.kill();
    }
    expect(text).toContain('line\n');
    for await (const chunk of spawnProgram('/no/such/program', []).output) expect(chunk).toBe('');
  });
});
