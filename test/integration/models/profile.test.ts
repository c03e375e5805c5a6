import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ProfileOptions, profileModels } from '../../../models/profile/profile.ts';
import { checkProvider } from '../../../models/profile/provider.ts';
import { systemClock } from '../../../shared/clock.ts';
import { modelPath } from '../../../shared/family/read.ts';
import { bundledFamily } from '../../support/bundled.ts';
import { writeModel } from '../../support/onnx-models.ts';
import { temporaryFolder } from '../../support/temp.ts';

/** No sensors: what a machine has must not decide how long a test takes. */
const base = {
  rounds: 3,
  warmUp: 1,
  clock: systemClock,
  sysRoot: '/nowhere',
} satisfies Partial<ProfileOptions>;

/** Process id of a profiler that this process has running, once there is one. */
async function profilerPid(): Promise<number> {
  for (;;) {
    for (const entry of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const [status, command] = await Promise.all([
        readFile(`/proc/${entry}/status`, 'utf8').catch(() => ''),
        readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => ''),
      ]);
      const isOurs = status.includes(`PPid:\t${process.pid}\n`) && command.includes('profile-child');
      if (isOurs) return Number(entry);
    }
  }
}

describe('a profile', () => {
  it('tells of each level what it costs, and of a provider that is not there why', async () => {
    const { manifest, folder } = await bundledFamily();
    const paths = manifest.levels.map((level) => modelPath(folder, level));
    const models = [
      { name: 'smallest', path: paths.at(0) ?? '', pe: 'cpu' },
      { name: 'largest', path: paths.at(-1) ?? '', pe: 'cpu' },
      { name: 'on the GPU', path: paths.at(0) ?? '', pe: 'cuda' },
    ] as const;
    const steps: [number, number][] = [];
    const { host, profiles } = await profileModels({
      ...base,
      rounds: 9,
      models,
      frames: [new Uint8Array(784), new Uint8Array(784).fill(200)],
      onProgress: (done, total) => steps.push([done, total]),
    });
    expect(host).toMatchObject({ node: process.versions.node, onnxRuntime: expect.stringMatching(/^\d/) });
    const [smallest, largest, onGpu] = profiles;
    for (const profile of [smallest, largest]) {
      expect(profile).toMatchObject({
        pe: 'cpu',
        available: true,
        latencyMs: { count: 9 },
        energyJ: null,
        energyReason: expect.stringContaining('INA3221'),
      });
    }
    if (smallest?.available !== true || largest?.available !== true) throw new Error('not measured');
    expect(largest.latencyMs.p50).toBeGreaterThan(smallest.latencyMs.p50);
    expect(smallest.memory.residentBytes).toBeGreaterThan(500_000);
    expect(largest.memory.residentBytes).toBeGreaterThan(smallest.memory.residentBytes);
    // A machine with a GPU and its libraries measures it.
    if (onGpu?.available === false) expect(onGpu.reason).toMatch(/on the GPU on cuda: cannot be loaded/);
    expect(steps.at(-1)).toEqual([19, 19]);
  });

  it('is paced, and begins with what the machine is', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'm.onnx');
    await writeModel(path);
    await mkdir(join(folder.path, 'sys/firmware/devicetree/base'), { recursive: true });
    await writeFile(join(folder.path, 'sys/firmware/devicetree/base/model'), 'Some Board\0');
    const startMs = systemClock.monoMs();
    const report = await profileModels({
      ...base,
      models: [{ name: 'm', path, pe: 'cpu' }],
      periodMs: 50,
      sysRoot: join(folder.path, 'sys'),
    });
    expect(report).toMatchObject({ periodMs: 50, host: { board: 'Some Board' } });
    // Four runs, the first at once.
    expect(systemClock.monoMs() - startMs).toBeGreaterThanOrEqual(150);
  });

  it('is refused for a file that is no model, and frames that do not fit', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'm.onnx');
    await writeFile(path, 'this is no model');
    const models = [{ name: 'm', path, pe: 'cpu' }] as const;
    await expect(profileModels({ ...base, models })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('m on cpu: cannot be loaded'),
    });
    await writeModel(path);
    await expect(profileModels({ ...base, models, frames: [new Uint8Array(3)] })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('frame 0 has 3 bytes, it takes 784'),
    });
    await expect(profileModels({ ...base, models, rounds: 0 })).rejects.toMatchObject({ code: 'usage' });
  });

  it('ends with an error when the only processing element asked for is not there', async () => {
    await using folder = await temporaryFolder();
    // Cannot be loaded by any provider, so that this holds on a machine with a GPU as well.
    const models = [{ name: 'm', path: join(folder.path, 'missing.onnx'), pe: 'cuda' }] as const;
    await expect(profileModels({ ...base, models })).rejects.toMatchObject({ code: 'config' });
  });

  it('tells beforehand that a processing element is not there', async () => {
    await expect(checkProvider('cpu')).resolves.toBeUndefined();
    const refusal = await checkProvider('cuda').catch((error: unknown) => error);
    // A machine with a GPU and its libraries has it.
    if (refusal === undefined) return;
    expect(refusal).toMatchObject({
      code: 'config',
      message: expect.stringMatching(/^cuda is not available here: ./),
    });
  });

  it('survives a model that hangs, and stops when it is told to', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'slow.onnx');
    await writeModel(path, { work: 20_000 });
    const models = [{ name: 'slow', path, pe: 'cpu' }] as const;
    await expect(profileModels({ ...base, models, silenceMs: 700 })).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/slow on cpu: it said nothing for 700 ms, it hangs/),
    });
    const stop = new AbortController();
    const profiling = profileModels({ ...base, models, signal: stop.signal });
    setTimeout(() => stop.abort(new Error('enough')), 50);
    await expect(profiling).rejects.toThrow('enough');
  });

  it('survives a crash of native code, and names the model', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'slow.onnx');
    await writeModel(path, { work: 20_000 });
    const profiling = profileModels({ ...base, models: [{ name: 'slow', path, pe: 'cpu' }] });
    const refused = expect(profiling).rejects.toThrow(/slow on cpu: its process crashed with SIGSEGV/);
    process.kill(await profilerPid(), 'SIGSEGV');
    await refused;
  });
});
