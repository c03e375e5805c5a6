import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { PointSpec } from '../../agent/engine/protocol.ts';
import { type QualifyOptions, qualify } from '../../agent/engine/qualify.ts';
import { systemClock } from '../../shared/clock.ts';
import { bundledFamily, cpuPoints } from '../support/bundled.ts';
import { type ModelSpec, writeModel } from '../support/onnx-models.ts';
import { temporaryFolder } from '../support/temp.ts';

/** Matrix products of a model that would take minutes: for a test it hangs. */
const HANGING_WORK = 20_000;

const base = {
  input: { name: 'image', shape: [1, 28, 28, 1] },
  output: { name: 'logits', shape: [1, 10] },
  timeoutMs: 30_000,
  clock: systemClock,
} satisfies Partial<QualifyOptions>;

/** A family of two levels, the second of them made for the test. */
async function pointsWith(folder: string, spec: ModelSpec): Promise<PointSpec[]> {
  const paths = [join(folder, 'good.onnx'), join(folder, 'tried.onnx')];
  await writeModel(paths[0] ?? '', {});
  await writeModel(paths[1] ?? '', spec);
  return paths.map((modelPath, level) => ({ pe: 'cpu', level, modelPath, threads: 1, providers: ['cpu'] }));
}

/** Process ids of the qualifiers that this process has running. */
async function qualifiers(): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const [status, command] = await Promise.all([
      readFile(`/proc/${entry}/status`, 'utf8').catch(() => ''),
      readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => ''),
    ]);
    if (status.includes(`PPid:\t${process.pid}\n`) && command.includes('qualify-child'))
      found.push(Number(entry));
  }
  return found;
}

describe('qualification', () => {
  it('passes the bundled family', async () => {
    const family = await bundledFamily();
    await expect(qualify({ ...base, points: cpuPoints(family) })).resolves.toBeUndefined();
  });

  const cases: [string, ModelSpec, RegExp][] = [
    [
      'gives a value that is not finite',
      { notFinite: true },
      /a frame of zeros: gave a value that is not finite/,
    ],
    ['takes another input', { inputShape: [1, 14, 14, 1] }, /input "image" is uint8 \[1, 14, 14, 1\]/],
    ['has another number of classes', { classes: 4 }, /output "logits" is float32 \[1, 4\]/],
  ];

  it.each(cases)('names the level that %s', async (_case, spec, message) => {
    await using folder = await temporaryFolder();
    const points = await pointsWith(folder.path, spec);
    const qualifying = qualify({ ...base, points });
    await expect(qualifying).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(message),
    });
    await expect(qualifying).rejects.toThrow(`level 1 on cpu (${join(folder.path, 'tried.onnx')})`);
  });

  it('names the level that cannot be loaded', async () => {
    await using folder = await temporaryFolder();
    const points = await pointsWith(folder.path, {});
    await writeFile(join(folder.path, 'tried.onnx'), 'this is no model');
    await expect(qualify({ ...base, points })).rejects.toThrow(/^level 1 on cpu .*: cannot be loaded: /);
  });

  it('kills a level that hangs, and leaves no process', async () => {
    await using folder = await temporaryFolder();
    const points = await pointsWith(folder.path, { work: HANGING_WORK });
    await expect(qualify({ ...base, points, timeoutMs: 2_000 })).rejects.toMatchObject({
      code: 'invalid',
      message: `level 1 on cpu (${join(folder.path, 'tried.onnx')}): no end within 2000 ms, it hangs`,
    });
    expect(await qualifiers()).toEqual([]);
  });

  it('survives a crash of the process, and names its signal', async () => {
    await using folder = await temporaryFolder();
    const points = await pointsWith(folder.path, { work: HANGING_WORK });
    const qualifying = qualify({ ...base, points });
    const refused = expect(qualifying).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/^level [01] on cpu .*: its process crashed with SIGSEGV/),
    });
    const [pid] = await vi.waitUntil(async () => {
      const found = await qualifiers();
      return found.length > 0 && found;
    });
    process.kill(pid ?? 0, 'SIGSEGV');
    await refused;
  });

  it('stops when it is told to, with the reason that was given', async () => {
    await using folder = await temporaryFolder();
    const points = await pointsWith(folder.path, { work: HANGING_WORK });
    const abort = new AbortController();
    const qualifying = qualify({ ...base, points, signal: abort.signal });
    abort.abort(new Error('the device shuts down'));
    await expect(qualifying).rejects.toThrow('the device shuts down');
    expect(await qualifiers()).toEqual([]);
  });
});
