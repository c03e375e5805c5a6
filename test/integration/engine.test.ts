import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, type EngineOptions, startEngine } from '../../agent/engine/engine.ts';
import type { PointSpec } from '../../agent/engine/protocol.ts';
import type { Family } from '../../shared/family/read.ts';
import { argmax, confidenceOf } from '../../shared/logits.ts';
import { createSession, Tensor } from '../../shared/onnx.ts';
import { bundledFamily, bundledImages, cpuPoints } from '../support/bundled.ts';
import { ENGINE_BASE, FRAME } from '../support/engine-base.ts';
import { type ModelSpec, writeModel } from '../support/onnx-models.ts';
import { temporaryFolder } from '../support/temp.ts';

/** Matrix products of a model that takes a good part of a second. */
const SLOW_WORK = 100;

const execute: (
  file: string,
  args: string[],
) => Promise<{ stdout: string; stderr: string; signal?: string }> = promisify(execFile);

/** A program of its own beside the tests. */
function programPath(name: string): string {
  return fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url));
}

function cpuPoint(level: number, modelPath: string): PointSpec {
  return { pe: 'cpu', level, modelPath, threads: 1, providers: ['cpu'] };
}

/** An engine of one level whose model is made for the test. */
async function startModel(
  folder: string,
  spec: ModelSpec,
  options: Partial<EngineOptions> = {},
): Promise<Engine> {
  const modelPath = join(folder, 'model.onnx');
  await writeModel(modelPath, spec);
  return await startEngine({ ...ENGINE_BASE, ...options, points: [cpuPoint(3, modelPath)] });
}

describe('an engine of the bundled family', () => {
  let family: Family;
  let engine: Engine;

  beforeAll(async () => {
    family = await bundledFamily();
    engine = await startEngine({ ...ENGINE_BASE, points: cpuPoints(family) });
  });
  afterAll(async () => {
    await engine.close();
  });

  it('answers as a bare session does, for every level', async () => {
    const images = await bundledImages(5);
    for (const [index, { modelPath }] of cpuPoints(family).entries()) {
      const session = await createSession(modelPath, { intraOpNumThreads: 1 });
      for (const { pixels } of images) {
        const bare = await session.run({ image: new Tensor('uint8', pixels, [1, 28, 28, 1]) });
        const { logits } = await engine.run(index, pixels);
        expect([...logits]).toEqual([...((bare['logits']?.data as Float32Array | undefined) ?? [])]);
      }
      await session.release();
    }
  });

  it('recognises about as many test images as the manifest says', async () => {
    const images = await bundledImages(500);
    for (const [index, level] of family.manifest.levels.entries()) {
      let correct = 0;
      for (const { pixels, label } of images) {
        const { logits } = await engine.run(index, pixels);
        if (argmax(logits) === label) correct += 1;
      }
      expect(Math.abs(correct / images.length - level.accuracy)).toBeLessThan(0.05);
    }
  });

  it('keeps answers and frames of runs that were asked for together apart', async () => {
    const [first, second] = await bundledImages(2);
    const frame = Uint8Array.from(first?.pixels ?? []);
    const alone = [await engine.run(0, frame), await engine.run(0, second?.pixels ?? frame)];
    const runs = [engine.run(0, frame)];
    frame.set(second?.pixels ?? []);
    runs.push(engine.run(0, frame));
    expect((await Promise.all(runs)).map(({ logits }) => logits)).toEqual(alone.map(({ logits }) => logits));
  });

  it('takes more total time than its run alone took', async () => {
    const { runMs, totalMs } = await engine.run(0, FRAME);
    expect(runMs).toBeGreaterThan(0);
    expect(totalMs).toBeGreaterThan(runMs);
  });

  it('refuses a frame of another size', async () => {
    await expect(engine.run(0, new Uint8Array(3))).rejects.toMatchObject({
      code: 'invalid',
      message: 'a frame of 3 bytes, the family takes 784',
    });
  });
});

describe('the bounds of an engine', () => {
  it('leaves the main thread free while a slow model runs', async () => {
    await using folder = await temporaryFolder();
    await using engine = await startModel(folder.path, { work: SLOW_WORK });
    const inference = engine.run(0, FRAME);
    const state = { done: false };
    void inference.finally(() => {
      state.done = true;
    });
    let turns = 0;
    for (; !state.done; turns += 1) await new Promise(setImmediate);
    const { runMs } = await inference;
    expect(runMs).toBeGreaterThan(50);
    // A blocked loop turns once or twice, however long the run takes.
    expect(turns).toBeGreaterThan(10);
  });

  it('refuses a run when every slot is taken, and takes one again when there is room', async () => {
    await using folder = await temporaryFolder();
    await using engine = await startModel(folder.path, { work: 20 }, { slots: 2 });
    const runs = [engine.run(0, FRAME), engine.run(0, FRAME)];
    await expect(engine.run(0, FRAME)).rejects.toMatchObject({ code: 'conflict' });
    await Promise.all(runs);
    await expect(engine.run(0, FRAME)).resolves.toHaveProperty('logits');
  });

  it('reports a run that hangs once, serves no more, and says that it cannot be closed', async () => {
    await using folder = await temporaryFolder();
    const modelPath = join(folder.path, 'model.onnx');
    await writeModel(modelPath, { work: SLOW_WORK });
    const { stdout, signal } = await execute(process.execPath, [programPath('engine-hang'), modelPath]).catch(
      (error: { stdout: string; signal: string }) => error,
    );
    expect({ signal, seen: JSON.parse(stdout) }).toEqual({
      signal: 'SIGKILL',
      seen: {
        together: ['timeout', 'timeout'],
        later: 'timeout',
        closing: 'timeout',
        fatal: [`timeout: level 3 on cpu (${modelPath}): no answer within 10 ms: it hangs`],
      },
    });
  });

  it('answers the runs under way before it closes, and refuses those after', async () => {
    await using folder = await temporaryFolder();
    const engine = await startModel(folder.path, { work: 20 });
    const run = engine.run(0, FRAME);
    const closing = engine.close();
    await expect(engine.run(0, FRAME)).rejects.toMatchObject({ code: 'system' });
    await expect(run).resolves.toHaveProperty('logits');
    await closing;
    await engine.close();
  });

  it('lets a process that closes it with runs in flight end cleanly', async () => {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const { stdout, stderr } = await execute(process.execPath, [programPath('engine-close')]);
      expect({ stdout, stderr }).toEqual({ stdout: 'closed\n', stderr: '' });
    }
  });
});

describe('a model that cannot be used', () => {
  const cases: [string, ModelSpec, RegExp][] = [
    ['another input name', { inputName: 'photo' }, /has no input "image", only "photo"/],
    [
      'another input shape',
      { inputShape: [1, 32, 32, 1] },
      /input "image" is uint8 \[1, 32, 32, 1\], expected uint8/,
    ],
    [
      'another input type',
      { inputType: 'float32' },
      /input "image" is float32 \[1, 28, 28, 1\], expected uint8/,
    ],
    ['another output name', { outputName: 'scores' }, /has no output "logits", only "scores"/],
    [
      'another number of classes',
      { classes: 9 },
      /output "logits" is float32 \[1, 9\], expected float32 \[1, 10\]/,
    ],
  ];

  it.each(cases)('is refused for %s, naming level and file', async (_case, spec, message) => {
    await using folder = await temporaryFolder();
    const starting = startModel(folder.path, spec);
    await expect(starting).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(message),
    });
    await expect(starting).rejects.toThrow(`level 3 on cpu (${join(folder.path, 'model.onnx')})`);
  });

  it('is refused when its file is broken or missing, naming level and file', async () => {
    await using folder = await temporaryFolder();
    const modelPath = join(folder.path, 'broken.onnx');
    const start = () => startEngine({ ...ENGINE_BASE, points: [cpuPoint(1, modelPath)] });
    await expect(start()).rejects.toThrow(`level 1 on cpu (${modelPath}): cannot be loaded`);
    await writeFile(modelPath, 'this is no model');
    await expect(start()).rejects.toThrow(`level 1 on cpu (${modelPath}): cannot be loaded`);
  });
});

describe('logits', () => {
  it('give the greatest class and its softmax probability', () => {
    const logits = Float32Array.of(1, 3, 2);
    expect(argmax(logits)).toBe(1);
    expect(confidenceOf(logits)).toBeCloseTo(Math.exp(3) / (Math.exp(1) + Math.exp(2) + Math.exp(3)), 6);
  });

  it('may be large without overflow', () => {
    expect(confidenceOf(Float32Array.of(1e30, 0))).toBe(1);
  });
});
