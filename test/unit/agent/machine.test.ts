import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { machineIdentity } from '../../../agent/engine/machine.ts';
import { temporaryFolder } from '../../support/temp.ts';

async function identityOf(files: Readonly<Record<string, string>>): Promise<string> {
  await using root = await temporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root.path, path)), { recursive: true });
    await writeFile(join(root.path, path), text);
  }
  return await machineIdentity(root.path);
}

const CPU = 'sys/devices/system/cpu';

test('a machine is told from another by the features of its CPU', async () => {
  const machine = { [`${CPU}/modalias`]: 'cpu:type:x86,ven0002fam0019mod0001:feature:,0000,0001\n' };
  const other = { [`${CPU}/modalias`]: 'cpu:type:x86,ven0002fam0019mod0001:feature:,0000\n' };
  expect(await identityOf(machine)).toBe(await identityOf(machine));
  expect(await identityOf(machine)).not.toBe(await identityOf(other));
});

test('an ARM machine is told from another by the parts of all of its CPUs', async () => {
  const partOf = (cpu: number) => `${CPU}/cpu${cpu}/regs/identification/midr_el1`;
  const machine = {
    [`${CPU}/modalias`]: 'cpu:type:aarch64:feature:,0000\n',
    [partOf(0)]: '0x1',
    [partOf(1)]: '0x1',
  };
  expect(await identityOf({ ...machine, [partOf(1)]: '0x2' })).not.toBe(await identityOf(machine));
});

test('an older kernel says it in cpuinfo, whatever the clocks are at the moment', async () => {
  const cpuinfo = (flags: string, clock: number) => ({
    'proc/cpuinfo': `model name\t: CPU\nflags\t\t: ${flags}\ncpu MHz\t\t: ${clock}\n`,
  });
  expect(await identityOf(cpuinfo('avx2', 800))).toBe(await identityOf(cpuinfo('avx2', 3_000)));
  expect(await identityOf(cpuinfo('avx2', 800))).not.toBe(await identityOf(cpuinfo('avx2 avx512f', 800)));
});

test('where nothing is told the names of the CPUs stand for them', async () => {
  expect((await identityOf({})).split('\n').length).toBeGreaterThan(1);
});
