import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Engine, startEngine } from '../../agent/engine/engine.ts';
import type { PointSpec } from '../../agent/engine/protocol.ts';
import { bundledFamily, bundledImages, cpuPoints } from '../support/bundled.ts';
import { ENGINE_BASE, FRAME } from '../support/engine-base.ts';
import { writeModel } from '../support/onnx-models.ts';
import { temporaryFolder } from '../support/temp.ts';

/** Two good models and one that is none. */
async function pointsIn(folder: string): Promise<PointSpec[]> {
  const paths = ['light', 'slow', 'broken'].map((name) => join(folder, `${name}.onnx`));
  const [light = '', slow = '', broken = ''] = paths;
  await writeModel(light, {});
  await writeModel(slow, { work: 10 });
  await writeFile(broken, 'this is no model');
  return paths.map((modelPath, level) => ({ pe: 'cpu', level, modelPath, threads: 1, providers: ['cpu'] }));
}

function warmPoints(engine: Engine, count: number): boolean[] {
  return Array.from({ length: count }, (_, point) => engine.isWarm(point));
}

describe('points that are loaded and unloaded while an engine serves', () => {
  it('run only when they are warm', async () => {
    await using folder = await temporaryFolder();
    await using engine = await startEngine({
      ...ENGINE_BASE,
      points: await pointsIn(folder.path),
      warm: [1],
    });
    expect(warmPoints(engine, 3)).toEqual([false, true, false]);
    const refused = { code: 'conflict', message: expect.stringMatching(/^level 0 on cpu .* is not warm/) };
    await expect(engine.run(0, FRAME)).rejects.toMatchObject(refused);
    await engine.load(0);
    await engine.load(0);
    await expect(engine.run(0, FRAME)).resolves.toHaveProperty('logits');
    const unloading = engine.unload(0);
    await expect(engine.run(0, FRAME)).rejects.toMatchObject(refused);
    await unloading;
    await engine.unload(0);
    await expect(engine.run(1, FRAME)).resolves.toHaveProperty('logits');
  });

  it('lose no frame, and give the same answers', async () => {
    const family = await bundledFamily();
    const points = cpuPoints(family);
    const images = await bundledImages(30);
    await using engine = await startEngine({ ...ENGINE_BASE, points });
    const answersOf = async () => {
      const answers: number[][] = [];
      for (const { pixels } of images) answers.push([...(await engine.run(0, pixels)).logits]);
      return answers;
    };
    const alone = await answersOf();
    const serving = { done: false };
    const together = answersOf().finally(() => {
      serving.done = true;
    });
    let loads = 0;
    for (; !serving.done; loads += 1) {
      const point = 1 + (loads % (points.length - 1));
      await Promise.all([engine.unload(point), engine.load(point)]);
    }
    expect(await together).toEqual(alone);
    expect(loads).toBeGreaterThan(1);
    expect(warmPoints(engine, points.length)).not.toContain(false);
  });

  it('wait for the runs that were asked for before them', async () => {
    await using folder = await temporaryFolder();
    await using engine = await startEngine({
      ...ENGINE_BASE,
      points: await pointsIn(folder.path),
      warm: [1],
    });
    const order: string[] = [];
    const runs = [1, 2, 3].map(async (count) => {
      await engine.run(1, FRAME);
      order.push(`run ${count}`);
    });
    const load = engine.load(0).then(() => order.push('load'));
    await Promise.all([...runs, load]);
    expect(order).toEqual(['run 1', 'run 2', 'run 3', 'load']);
  });

  it('leave every slot to frames', async () => {
    await using folder = await temporaryFolder();
    const points = await pointsIn(folder.path);
    await using engine = await startEngine({ ...ENGINE_BASE, points, warm: [1], slots: 2 });
    const load = engine.load(0);
    await Promise.all([engine.run(1, FRAME), engine.run(1, FRAME), load]);
  });

  it('are given up when that is asked for before they are there', async () => {
    await using folder = await temporaryFolder();
    await using engine = await startEngine({
      ...ENGINE_BASE,
      points: await pointsIn(folder.path),
      warm: [1],
    });
    const [loading, unloading] = [engine.load(0), engine.unload(0)];
    await Promise.all([loading, unloading]);
    expect(engine.isWarm(0)).toBe(false);
    await engine.load(0);
    await expect(engine.run(0, FRAME)).resolves.toHaveProperty('logits');
  });

  it('are refused when the engine closes before their turn', async () => {
    await using folder = await temporaryFolder();
    const engine = await startEngine({ ...ENGINE_BASE, points: await pointsIn(folder.path), warm: [1] });
    const run = engine.run(1, FRAME);
    const load = expect(engine.load(0)).rejects.toMatchObject({ code: 'system' });
    await engine.close();
    await load;
    await expect(run).resolves.toHaveProperty('logits');
  });
});

describe('a point that cannot be used', () => {
  it('leaves the others serving when it is loaded later, and can be tried again', async () => {
    await using folder = await temporaryFolder();
    const points = await pointsIn(folder.path);
    await using engine = await startEngine({ ...ENGINE_BASE, points, warm: [0] });
    const refused = {
      code: 'invalid',
      message: expect.stringMatching(/^level 2 on cpu .*: cannot be loaded: /),
    };
    await expect(engine.load(2)).rejects.toMatchObject(refused);
    await expect(engine.load(2)).rejects.toMatchObject(refused);
    expect(engine.isWarm(2)).toBe(false);
    await engine.unload(2);
    await expect(engine.run(0, FRAME)).resolves.toHaveProperty('logits');
    await writeModel(points[2]?.modelPath ?? '', {});
    await engine.load(2);
    await expect(engine.run(2, FRAME)).resolves.toHaveProperty('logits');
  });

  it('is told of at the start, and the others serve', async () => {
    await using folder = await temporaryFolder();
    const told: [number, string][] = [];
    await using engine = await startEngine({
      ...ENGINE_BASE,
      points: await pointsIn(folder.path),
      onUnusable: (point, { message }) => told.push([point, message]),
    });
    expect(told).toEqual([[2, expect.stringMatching(/^level 2 on cpu .*: cannot be loaded: /)]]);
    expect(warmPoints(engine, 3)).toEqual([true, true, false]);
    await expect(engine.run(1, FRAME)).resolves.toHaveProperty('logits');
  });

  it('fails the start when there is no other', async () => {
    await using folder = await temporaryFolder();
    const points = (await pointsIn(folder.path)).slice(2);
    const told: number[] = [];
    const starting = startEngine({ ...ENGINE_BASE, points, onUnusable: (point) => told.push(point) });
    await expect(starting).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/^no point can be used: level 2 on cpu /),
    });
    expect(told).toEqual([0]);
  });

  it('is one whose provider is not there, and is named with it', async () => {
    await using folder = await temporaryFolder();
    const [light] = await pointsIn(folder.path);
    if (light === undefined) throw new Error('there is a light model');
    const told: string[] = [];
    await using engine = await startEngine({
      ...ENGINE_BASE,
      points: [light, { ...light, pe: 'gpu', providers: ['xnnpack', 'cpu'] }],
      onUnusable: (_, { message }) => told.push(message),
    });
    expect(told).toEqual([
      expect.stringMatching(
        /^level 0 on gpu .*: cannot be loaded with the providers xnnpack, cpu: .* no provider "xnnpack"/,
      ),
    ]);
    await expect(engine.run(0, FRAME)).resolves.toHaveProperty('logits');
  });

  it('is not one that has threads of its own', async () => {
    await using folder = await temporaryFolder();
    const [, slow] = await pointsIn(folder.path);
    if (slow === undefined) throw new Error('there is a slow model');
    await using engine = await startEngine({ ...ENGINE_BASE, points: [slow, { ...slow, threads: 2 }] });
    const [one, two] = [await engine.run(0, FRAME), await engine.run(1, FRAME)];
    for (const [index, value] of two.logits.entries())
      expect(value).toBeCloseTo(one.logits[index] ?? Number.NaN, 4);
  });
});
