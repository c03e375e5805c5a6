import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { startEngine } from '../../agent/engine/engine.ts';
import { type LeanModel, type LeanOptions, prepareLean } from '../../agent/engine/lean.ts';
import type { PointSpec } from '../../agent/engine/protocol.ts';
import { systemClock } from '../../shared/clock.ts';
import type { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import { sha256OfFile } from '../../shared/files.ts';
import { bundledFamily, bundledImages, cpuPoints } from '../support/bundled.ts';
import { type ModelSpec, writeModel } from '../support/onnx-models.ts';
import { temporaryFolder } from '../support/temp.ts';

const base = { clock: systemClock, timeoutMs: 60_000 } satisfies Partial<LeanOptions>;

function unexpected(error: AppError): void {
  throw error;
}

let family: Family;
let models: LeanModel[];
let points: PointSpec[];
beforeAll(async () => {
  family = await bundledFamily();
  points = cpuPoints(family);
  models = points.map(({ modelPath }, level) => ({
    modelPath,
    sha256: family.manifest.levels[level]?.model.sha256 ?? '',
  }));
});

function engineOf(
  leanPaths: ReadonlyMap<string, string>,
  onFallback = (_: number, error: AppError) => unexpected(error),
) {
  const { input, output } = family.manifest;
  return startEngine({
    points: points.map((point) => {
      const leanPath = leanPaths.get(point.modelPath);
      return leanPath === undefined ? point : { ...point, leanPath };
    }),
    input,
    output,
    runTimeoutMs: 30_000,
    clock: systemClock,
    onFallback,
    onFatal: unexpected,
  });
}

/** One model that takes no time to make lean. */
async function smallModel(folder: string, spec: ModelSpec = {}): Promise<LeanModel> {
  const modelPath = join(folder, 'small.onnx');
  await writeModel(modelPath, spec);
  return { modelPath, sha256: await sha256OfFile(modelPath) };
}

async function flipBit(file: string): Promise<void> {
  const bytes = await readFile(file);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(file, bytes);
}

/** Every file in the one folder of lean models that there is. */
async function leanFiles(folder: string): Promise<string[]> {
  const [key = '', ...others] = await readdir(folder);
  expect(others).toEqual([]);
  return (await readdir(join(folder, key))).map((name) => join(folder, key, name)).sort();
}

describe('lean models of the bundled family', () => {
  it("give the portable models' answers", async () => {
    await using folder = await temporaryFolder();
    const lean = await prepareLean({ ...base, models, folder: folder.path });
    expect(lean.size).toBeGreaterThan(0);
    await using portable = await engineOf(new Map());
    await using engine = await engineOf(lean);
    for (const { pixels } of await bundledImages(20)) {
      for (const point of points.keys()) {
        const [{ logits: expected }, { logits }] = [
          await portable.run(point, pixels),
          await engine.run(point, pixels),
        ];
        const greatest = Math.max(1, ...expected.map(Math.abs));
        for (const [index, value] of logits.entries())
          expect(Math.abs(value - (expected[index] ?? Number.NaN))).toBeLessThanOrEqual(1e-5 * greatest);
      }
    }
  });
});

describe('the cache of lean models', () => {
  it('is used again as it is', async () => {
    await using folder = await temporaryFolder();
    const options = { ...base, models, folder: folder.path, onDamaged: unexpected };
    const first = await prepareLean(options);
    const stampsOf = async () =>
      await Promise.all((await leanFiles(folder.path)).map(async (file) => (await stat(file)).ino));
    const before = await stampsOf();
    expect(await prepareLean(options)).toEqual(first);
    expect(await stampsOf()).toEqual(before);
  });

  const damages: [string, string, (file: string) => Promise<void>][] = [
    ['weights are shorter', 'weights.bin', async (file) => await truncate(file, (await stat(file)).size - 1)],
    ['weights are others', 'weights.bin', flipBit],
    ['graph is another', '.onnx', flipBit],
    ['graph is gone', '.onnx', rm],
    ['table of contents is another', 'lean.json', async (file) => await writeFile(file, '{"format":1}')],
  ];

  it.each(damages)('is made again when its %s', async (_case, ending, damage) => {
    await using folder = await temporaryFolder();
    const models = [await smallModel(folder.path)];
    const options = { ...base, models, folder: join(folder.path, 'lean') };
    const first = await prepareLean(options);
    const file = (await leanFiles(options.folder)).find((path) => path.endsWith(ending)) ?? '';
    await damage(file);
    const told: string[] = [];
    expect(await prepareLean({ ...options, onDamaged: ({ message }) => told.push(message) })).toEqual(first);
    expect(told).toEqual([expect.stringContaining(file)]);
    expect(await prepareLean({ ...options, onDamaged: unexpected })).toEqual(first);
  });

  it('keeps nothing of other models', async () => {
    await using folder = await temporaryFolder();
    const home = join(folder.path, 'lean');
    const model = await smallModel(folder.path);
    await prepareLean({ ...base, models: [model], folder: home });
    const [old] = await readdir(home);
    await prepareLean({ ...base, models: [await smallModel(folder.path, { classes: 11 })], folder: home });
    const left = await readdir(home);
    expect(left).toHaveLength(1);
    expect(left).not.toContain(old);
  });

  it('is never half of one, whenever its making is killed', async () => {
    await using folder = await temporaryFolder();
    const program = fileURLToPath(new URL('../support/lean-prepare.ts', import.meta.url));
    // Killed when it has begun to write, in different places of its work.
    for (const files of [2, 6]) {
      const maker = spawn(process.execPath, [program, folder.path], { stdio: 'ignore' });
      const exit = once(maker, 'exit');
      await vi.waitUntil(async () => maker.exitCode !== null || (await countFiles(folder.path)) >= files, {
        timeout: 30_000,
        interval: 2,
      });
      maker.kill('SIGKILL');
      await exit;
    }
    const lean = await prepareLean({ ...base, models, folder: folder.path, onDamaged: unexpected });
    await leanFiles(folder.path);
    await using engine = await engineOf(lean);
    expect(points.every((_, point) => engine.isWarm(point))).toBe(true);
  });
});

async function countFiles(folder: string): Promise<number> {
  return (await readdir(folder, { recursive: true }).catch(() => [])).length;
}

describe('lean models that cannot be made', () => {
  it('are refused for a model that is none, naming it, and leave nothing behind', async () => {
    await using folder = await temporaryFolder();
    const modelPath = join(folder.path, 'model.onnx');
    await writeFile(modelPath, 'this is no model');
    const home = join(folder.path, 'lean');
    const making = prepareLean({
      ...base,
      folder: home,
      models: [{ modelPath, sha256: await sha256OfFile(modelPath) }],
    });
    await expect(making).rejects.toMatchObject({
      code: 'system',
      message: expect.stringContaining(modelPath),
    });
    expect(await readdir(home)).toEqual([]);
  });

  it('are given up after their time', async () => {
    await using folder = await temporaryFolder();
    const making = prepareLean({ ...base, timeoutMs: 1, models, folder: folder.path });
    await expect(making).rejects.toMatchObject({
      code: 'system',
      message: expect.stringContaining('no end within 1 ms'),
    });
  });

  it('are left aside for the portable model when their file is broken, and this is told', async () => {
    await using folder = await temporaryFolder();
    const leanPath = join(folder.path, 'broken.onnx');
    await writeFile(leanPath, 'this is no model');
    const told: [number, string][] = [];
    const [first = points[0]] = points;
    await using engine = await engineOf(new Map([[first?.modelPath ?? '', leanPath]]), (point, { message }) =>
      told.push([point, message]),
    );
    expect(told).toEqual([[0, expect.stringMatching(/^level 0 on cpu .*: its lean model is left aside: /)]]);
    await expect(engine.run(0, new Uint8Array(28 * 28))).resolves.toHaveProperty('logits');
  });
});
