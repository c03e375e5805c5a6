import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { summedRails } from '../../../shared/power/ina3221.ts';
import type { PowerMeter } from '../../../shared/power/meter.ts';
import { openPowerMeter } from '../../../shared/power/open.ts';
import { counted } from '../../../shared/power/rapl.ts';
import { hwmon, iio, ina238, plant, rapl, type Tree } from '../../support/sysfs.ts';
import { temporaryFolder } from '../../support/temp.ts';

async function opened(root: string): Promise<PowerMeter> {
  const meter = await openPowerMeter(root);
  if ('unavailable' in meter) throw new Error(meter.unavailable);
  return meter;
}

const NANO = iio('6-0040', { POM_5V_IN: '2100', POM_5V_GPU: '40', POM_5V_CPU: '700' });
const TX2 = {
  ...iio('0-0040', { VDD_SYS_GPU: '150', VDD_SYS_SOC: '500', VDD_4V0_WIFI: '19' }),
  ...iio('0-0041', { VDD_IN: '4321', VDD_SYS_CPU: '300', VDD_SYS_DDR: '400' }),
};
const AGX_XAVIER = {
  ...iio('1-0040', { GPU: '1000', CPU: '2000', SOC: '3000' }),
  ...iio('1-0041', { CV: '100', VDDRQ: '200', SYS5V: '400' }),
};
const ORIN_NANO = {
  ...hwmon('1-0040', 3, [
    ['VDD_IN', '5000', '1400'],
    ['VDD_CPU_GPU_CV', '5000', '200'],
    ['VDD_SOC', '5000', '300'],
  ]),
  'bus/i2c/devices/1-0040/hwmon/hwmon3/in7_label': 'sum of shunt voltages',
  'bus/i2c/devices/1-0040/hwmon/hwmon3/in7_input': '99999',
};
const AGX_ORIN = {
  ...hwmon('1-0040', 4, [
    ['VDD_GPU_SOC', '20000', '100'],
    ['VDD_CPU_CV', '20000', '50'],
    ['VIN_SYS_5V0', '5000', '800'],
  ]),
  // Its last two channels measure nothing, and one of them cannot even be read.
  ...hwmon('1-0041', 2, [
    ['NC', '0', null],
    ['VDDQ_VDD2_1V8AO', '5000', '200'],
    ['NC', null, null],
  ]),
  'bus/i2c/devices/0-0050/name': '24c02',
};

const THOR_MODULE = hwmon('2-0040', 3, [
  ['VDD_GPU', '20000', '300'],
  ['VDD_CPU_SOC_MSS', '20000', '200'],
  ['VIN_SYS_5V0', '5000', '1000'],
]);

describe('a Jetson', () => {
  test.each<[string, Tree, string, number]>([
    ['Nano, JetPack 4', NANO, 'INA3221 POM_5V_IN', 2.1],
    ['TX2, JetPack 4', TX2, 'INA3221 VDD_IN', 4.321],
    ['AGX Xavier, JetPack 4', AGX_XAVIER, 'INA3221 CPU + GPU + SOC + CV + SYS5V + VDDRQ', 6.7],
    ['Orin Nano, JetPack 5 and later', ORIN_NANO, 'INA3221 VDD_IN', 7],
    ['AGX Orin, JetPack 5 and later', AGX_ORIN, 'INA3221 VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0', 7],
  ])('%s, tells the power of its module', async (_case, tree, source, watts) => {
    await using root = await temporaryFolder();
    await plant(root.path, tree);
    const meter = await opened(root.path);
    const rails = (text: string): string[] => text.replace('INA3221 ', '').split(' + ').sort();
    expect({ kind: meter.kind, scope: meter.scope }).toEqual({ kind: 'power', scope: 'module' });
    expect(rails(meter.source)).toEqual(rails(source));
    if (meter.kind === 'power') expect(await meter.readW()).toBeCloseTo(watts, 9);
  });

  it('is found where its devices are links', async () => {
    await using root = await temporaryFolder();
    await plant(join(root.path, 'devices/platform'), ORIN_NANO);
    await mkdir(join(root.path, 'bus/i2c/devices'), { recursive: true });
    const target = join(root.path, 'devices/platform/bus/i2c/devices/1-0040');
    await symlink(target, join(root.path, 'bus/i2c/devices/1-0040'));
    expect((await opened(root.path)).source).toBe('INA3221 VDD_IN');
  });

  it('has no power rather than part of it when a rail cannot be read', async () => {
    await using root = await temporaryFolder();
    await plant(root.path, {
      ...hwmon('1-0040', 1, [
        ['VDD_GPU_SOC', '20000', '100'],
        ['VDD_CPU_CV', null, '50'],
      ]),
    });
    expect(await openPowerMeter(root.path)).toEqual({
      unavailable: expect.stringMatching(/INA3221 VDD_GPU_SOC \+ VDD_CPU_CV: .*in2_input: cannot be read/),
    });
  });

  it('says which file failed when a sensor is lost later', async () => {
    await using root = await temporaryFolder();
    await plant(root.path, NANO);
    const meter = await opened(root.path);
    await rm(join(root.path, 'bus/i2c/devices/6-0040/iio:device0/in_power0_input'));
    if (meter.kind !== 'power') throw new Error('not a gauge');
    await expect(meter.readW()).rejects.toMatchObject({ code: 'system' });
  });

  it('tells the power of the whole board where it has an INA238', async () => {
    await using root = await temporaryFolder();
    await plant(root.path, { ...THOR_MODULE, ...ina238('2-0044', 5, '28906000') });
    const meter = await opened(root.path);
    expect(meter).toMatchObject({ kind: 'power', source: 'INA238 VIN', scope: 'board' });
    if (meter.kind === 'power') expect(await meter.readW()).toBeCloseTo(28.906, 9);
  });

  it.each<[string, Tree]>([
    ['measures another rail', ina238('2-0044', 5, '1000000', 'VDD_FAN')],
    ['cannot be read', ina238('2-0044', 5, null, 'VIN')],
    ['is one of two', { ...ina238('2-0044', 5, '1000000'), ...ina238('2-0045', 6, '2000000') }],
  ])('tells the power of its module where the INA238 %s', async (_case, tree) => {
    await using root = await temporaryFolder();
    await plant(root.path, { ...THOR_MODULE, ...tree });
    expect(await opened(root.path)).toMatchObject({
      source: 'INA3221 VDD_GPU + VDD_CPU_SOC_MSS + VIN_SYS_5V0',
      scope: 'module',
    });
  });

  it('reads no more than a file of sysfs may hold', async () => {
    await using root = await temporaryFolder();
    await plant(root.path, ORIN_NANO);
    const current = join(root.path, 'bus/i2c/devices/1-0040/hwmon/hwmon3/curr1_input');
    await rm(current);
    await symlink('/dev/zero', current);
    expect(await openPowerMeter(root.path)).toEqual({ unavailable: expect.stringContaining('curr1_input') });
  });

  test('rails that are parts of another one do not count twice', () => {
    const labels = (...names: string[]) =>
      summedRails(names.map((label) => ({ label }))).map((rail) => rail.label);
    expect(labels('VDDQ_VDD2_1V8AO', 'VIN_SYS_5V0', 'NC')).toEqual(['VIN_SYS_5V0']);
    expect(labels('VDDQ_VDD2_1V8AO', 'GPU', '')).toEqual(['VDDQ_VDD2_1V8AO', 'GPU']);
    expect(labels('GPU', 'VDD_IN')).toEqual(['VDD_IN']);
  });
});

describe('an x86 processor', () => {
  it('counts the energy of its packages, also when a counter begins again', async () => {
    await using root = await temporaryFolder();
    const parts = {
      'class/powercap/intel-rapl:0:0/name': 'core',
      'class/powercap/intel-rapl:0:0/energy_uj': '5',
    };
    await plant(root.path, {
      ...rapl('package-0', 0, '900000'),
      ...rapl('package-1', 1, '0'),
      ...rapl('psys', 2, '7'),
      ...parts,
    });
    const meter = await opened(root.path);
    expect(meter).toMatchObject({ kind: 'energy', source: 'RAPL, 2 packages', scope: 'package' });
    if (meter.kind !== 'energy') return;
    expect(await meter.readJ()).toBe(0);
    await plant(root.path, { ...rapl('package-0', 0, '100000'), ...rapl('package-1', 1, '50000') });
    expect(await meter.readJ()).toBeCloseTo(0.25, 9);
    await plant(root.path, rapl('package-0', 0, '300000'));
    expect(await meter.readJ()).toBeCloseTo(0.45, 9);
  });

  it('says why it tells nothing', async () => {
    await using root = await temporaryFolder();
    expect(await openPowerMeter(root.path)).toEqual({
      unavailable:
        'there is no INA238 sensor of VIN; there is no INA3221 sensor with a named rail; ' +
        'there is no RAPL counter; there is no power sensor of hwmon',
    });
    await plant(root.path, rapl('package-0', 0, null));
    expect(await openPowerMeter(root.path)).toEqual({
      unavailable: expect.stringMatching(/RAPL: .*energy_uj: cannot be read/),
    });
    await plant(root.path, rapl('package-0', 3, 'many'));
    expect(await openPowerMeter(root.path)).toEqual({ unavailable: expect.stringContaining('RAPL: ') });
  });

  test('what is counted over many turns of the counter is what was used', () => {
    const range = 1_000;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: range - 1 })), (steps) => {
        let at = 123;
        let total = 0;
        for (const step of steps) {
          const next = (at + step) % range;
          total += counted(at, next, range);
          at = next;
        }
        expect(total).toBe(steps.reduce((sum, step) => sum + step, 0));
      }),
    );
  });
});

describe('another machine', () => {
  const chip = (index: number, name: string, files: Tree): Tree => ({
    [`class/hwmon/hwmon${index}/name`]: name,
    ...Object.fromEntries(
      Object.entries(files).map(([file, content]) => [`class/hwmon/hwmon${index}/${file}`, content]),
    ),
  });

  it.each<[string, Tree, string, string, number]>([
    [
      'its power meter, whatever its index and what else there is',
      {
        ...chip(0, 'ina226', { power1_input: '5' }),
        ...chip(7, 'power_meter', { power1_average: '91000000' }),
      },
      'hwmon power_meter',
      'board',
      91,
    ],
    [
      'what is drawn now rather than the average',
      chip(1, 'ina2xx', { power1_average: '1000000', power1_input: '4500000' }),
      'hwmon ina2xx',
      'board',
      4.5,
    ],
    ['its processor', chip(2, 'zenpower', { power1_input: '30000000' }), 'hwmon zenpower', 'package', 30],
  ])('tells the power of %s', async (_case, tree, source, scope, watts) => {
    await using root = await temporaryFolder();
    await plant(root.path, tree);
    const meter = await opened(root.path);
    expect(meter).toMatchObject({ kind: 'power', source, scope });
    if (meter.kind === 'power') expect(await meter.readW()).toBeCloseTo(watts, 9);
  });

  it.each<[string, Tree, RegExp]>([
    ['a graphics card', chip(0, 'amdgpu', { power1_average: '9000000' }), /no power sensor of hwmon$/],
    [
      'one of several rails',
      { ...chip(0, 'ina226', { power1_input: '1' }), ...chip(1, 'ina219', { power1_input: '2' }) },
      /hwmon has 2 power sensors \(ina226, ina219\), expected one$/,
    ],
    ['a sensor that fails', chip(0, 'ina226', { power1_input: null }), /hwmon ina226: .*cannot be read/],
  ])('does not take %s for the whole', async (_case, tree, reason) => {
    await using root = await temporaryFolder();
    await plant(root.path, tree);
    expect(await openPowerMeter(root.path)).toEqual({ unavailable: expect.stringMatching(reason) });
  });
});
