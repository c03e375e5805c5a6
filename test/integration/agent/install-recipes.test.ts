import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Cut, cutModels } from '../../../agent/cut/cut.ts';
import { familyFolder } from '../../../agent/store/family-folder.ts';
import { writeFamily } from '../../../models/family/write.ts';
import { systemClock } from '../../../shared/clock.ts';
import { type Family, modelPath, readFamily, recipePath } from '../../../shared/family/read.ts';
import { readWhole, sha256OfFile } from '../../../shared/files.ts';
import { bundledFamily } from '../../support/bundled.ts';
import { type InstallWorld, installWorld, orderOf } from '../../support/install.ts';
import { BUNDLED_BACKBONE } from '../../support/releases.ts';
import { temporaryFolder } from '../../support/temp.ts';

/** The bundled family's level with the smallest recipe, to be cut into a folder. */
async function smallestCut(folder: string): Promise<Cut> {
  const { manifest, folder: home } = await bundledFamily();
  const [level] = manifest.levels.toSorted((a, b) => a.model.bytes - b.model.bytes);
  if (level?.recipe === undefined) throw new Error('the bundled family has no recipes');
  return {
    recipePath: recipePath(home, level.recipe),
    modelPath: join(folder, 'model.onnx'),
    sha256: level.model.sha256,
  };
}

const BOUND = { timeoutMs: 60_000, clock: systemClock, signal: new AbortController().signal };

test('a model that is cut on the device is that of the family, byte by byte', async () => {
  await using folder = await temporaryFolder();
  const cut = await smallestCut(folder.path);
  const told: Cut[] = [];
  await cutModels({
    backbonePath: BUNDLED_BACKBONE,
    cuts: [cut],
    ...BOUND,
    onCut: (done) => told.push(done),
  });
  expect(await sha256OfFile(cut.modelPath)).toBe(cut.sha256);
  expect(told).toEqual([cut]);
});

test('what is no backbone, and a model that is another, are told as such', async () => {
  await using folder = await temporaryFolder();
  const cut = await smallestCut(folder.path);
  const cutOf = (backbonePath: string, sha256: string): Promise<void> =>
    cutModels({ backbonePath, cuts: [{ ...cut, sha256 }], ...BOUND });
  await expect(cutOf(cut.recipePath, cut.sha256)).rejects.toMatchObject({ code: 'invalid' });
  await expect(cutOf(BUNDLED_BACKBONE, '0'.repeat(64))).rejects.toMatchObject({
    code: 'invalid',
    message: expect.stringContaining('the family says 0000'),
  });
  expect(await readdir(folder.path)).toEqual([]);
});

test('cutting ends with its time and with its signal, and no process stays', async () => {
  await using folder = await temporaryFolder();
  const task = { backbonePath: BUNDLED_BACKBONE, cuts: [await smallestCut(folder.path)] };
  await expect(cutModels({ ...task, ...BOUND, timeoutMs: 1 })).rejects.toMatchObject({ code: 'timeout' });
  const signal = AbortSignal.abort(new Error('not any more'));
  await expect(cutModels({ ...task, ...BOUND, signal })).rejects.toThrow('not any more');
});

/** Levels of the bundled family, with their recipes, as another version. */
async function recipesOf(folder: string, version: number, count: number): Promise<Family> {
  const { manifest, folder: home } = await bundledFamily();
  const { format: _, levels, ...head } = manifest;
  const files = await Promise.all(
    levels.slice(0, count).map(async (level) => {
      const { model, recipe, ...rest } = level;
      if (recipe === undefined) throw new Error('the bundled family has no recipes');
      return {
        level: rest,
        model: await readWhole(modelPath(home, { model }), model.bytes),
        recipe: await readWhole(recipePath(home, recipe), recipe.bytes),
      };
    }),
  );
  return await writeFamily(folder, { ...head, version }, files);
}

async function install(world: InstallWorld, family: Family): Promise<void> {
  const release = await world.depot.publish(family, 'recipes', { backbonePath: BUNDLED_BACKBONE });
  world.wants.family = orderOf(release, { rollout: `r${family.manifest.version}` });
  const agent = await world.start();
  await world.until(() => !['in-progress', undefined].includes(agent.report()?.state));
  expect(agent.report()).toMatchObject({ state: 'succeeded', version: family.manifest.version });
  await agent.stop();
}

test('a family of recipes is cut on the device; the next one on that backbone travels without it', async () => {
  await using world = await installWorld();
  const first = await recipesOf(join(world.path, 'first'), 2, 1);
  await install(world, first);
  const backbone = await sha256OfFile(BUNDLED_BACKBONE);
  expect(world.depot.fetched).toContain(backbone);
  expect(await readdir(join(world.stateDir, 'blobs'))).toEqual([backbone]);
  world.depot.fetched.length = 0;
  const second = await recipesOf(join(world.path, 'second'), 3, 2);
  await install(world, second);
  // Its signed manifest, its family.json and the recipe of the level that is new.
  expect(world.depot.fetched).toHaveLength(3);
  await expect(readFamily(familyFolder(world.stateDir, second.sha256))).resolves.toBeDefined();
});

test('a backbone that has gone bad on the device is fetched anew', async () => {
  await using world = await installWorld();
  const first = await recipesOf(join(world.path, 'first'), 2, 1);
  await install(world, first);
  const backbone = join(world.stateDir, 'blobs', await sha256OfFile(BUNDLED_BACKBONE));
  const bytes = await readWhole(backbone, 2 ** 30);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  await rm(backbone);
  await writeFile(backbone, bytes);
  await install(world, await recipesOf(join(world.path, 'second'), 3, 2));
});

test('a model that was cut before and has gone bad is cut anew', async () => {
  await using world = await installWorld();
  const family = await recipesOf(join(world.path, 'first'), 2, 1);
  const model = family.manifest.levels[0]?.model;
  if (model === undefined) throw new Error('a family without levels');
  await mkdir(join(world.stateDir, 'blobs'));
  await writeFile(join(world.stateDir, 'blobs', model.sha256), Buffer.alloc(model.bytes));
  await install(world, family);
});

test('a family that asks for another backbone than its release brings is rejected', async () => {
  await using world = await installWorld();
  await mkdir(join(world.path, 'odd'));
  const family = await recipesOf(join(world.path, 'odd'), 2, 1);
  const release = await world.depot.publish(family, 'recipes', { backbonePath: BUNDLED_BACKBONE });
  const manifest = JSON.parse(new TextDecoder().decode(await world.depot.read(release.manifest.sha256)));
  const backbone = { ...manifest.backbone, id: '0'.repeat(64) };
  world.wants.family = orderOf(await world.depot.sign({ ...manifest, backbone }));
  const agent = await world.start();
  await world.until(() => !['in-progress', undefined].includes(agent.report()?.state));
  expect(agent.report()).toMatchObject({ state: 'rejected', reason: /is of the backbone/ });
});
