/**
 * The process that makes lean models: it loads models as nothing has done before on this machine, and needs
 * memory for the largest of them several times. It ends with its work, or with its parent.
 */

import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WeightPool } from '../../models/ofa/onnx/externalise.ts';
import { describeError } from '../../shared/errors.ts';
import { readWhole } from '../../shared/files.ts';
import { sayToParent, serveParent } from '../../shared/native-child-side.ts';
import { createSession, leanOptions, savingOptions, servingOptions } from '../../shared/onnx.ts';
import type { FromLeanMaker, LeanModel, LeanTask } from './lean.ts';
import { type LeanContents, writeLean } from './lean-cache.ts';
import { type LeanForm, leanName, WEIGHTS_FILE } from './lean-names.ts';
import { bestForm } from './lean-trial.ts';

/** Protocol buffers have no larger messages. */
const MAX_MODEL_BYTES = 2 ** 31;

const TRIAL_MODEL = 'trial.onnx';
const TRIAL_WEIGHTS = 'trial.bin';

serveParent<LeanTask>(report);

async function report(task: LeanTask): Promise<void> {
  try {
    await make(task);
    await tell({ kind: 'made' });
  } catch (error) {
    await tell({ kind: 'failed', message: describeError(error) });
  }
  process.disconnect();
}

function tell(message: FromLeanMaker): Promise<void> {
  return sayToParent(message);
}

async function make({ folder, models }: LeanTask): Promise<void> {
  const pool = new WeightPool(WEIGHTS_FILE);
  const made: LeanContents['models'] = [];
  for (const [index, model] of models.entries()) {
    await tell({ kind: 'turning-to', model: index });
    made.push({ sha256: model.sha256, file: await makeOne(folder, model, pool) });
  }
  const names = made.flatMap(({ file }) => file ?? []);
  if (pool.pieces.length > 0) {
    await writeWeights(join(folder, WEIGHTS_FILE), pool);
    names.push(WEIGHTS_FILE);
  }
  for (const name of names) await sync(join(folder, name));
  await writeLean(folder, made, names);
}

/** Writes the form of a model that is best here; returns the name of its file. */
async function makeOne(folder: string, model: LeanModel, pool: WeightPool): Promise<string | null> {
  const saved = join(folder, leanName(model.sha256, 'self-contained'));
  const saver = await createSession(model.modelPath, savingOptions(saved));
  await saver.release();
  const optimised = await readWhole(saved, MAX_MODEL_BYTES);
  const form = await tryForms(folder, { model, saved, optimised });
  if (form !== 'self-contained') await rm(saved);
  if (form === undefined) return null;
  const name = leanName(model.sha256, form);
  if (form === 'in-place') await writeFile(join(folder, name), pool.add(optimised), { flag: 'wx' });
  return name;
}

interface Trial {
  readonly model: LeanModel;
  readonly saved: string;
  readonly optimised: Uint8Array;
}

/** Of the weights in place of this model alone: what the others share with it changes nothing. */
async function tryForms(folder: string, { model, saved, optimised }: Trial): Promise<LeanForm | undefined> {
  const paths = { model: join(folder, TRIAL_MODEL), weights: join(folder, TRIAL_WEIGHTS) };
  await using stack = new AsyncDisposableStack();
  const opened = async (path: string, options: Parameters<typeof createSession>[1]) =>
    stack.adopt(await createSession(path, options), (session) => session.release());
  // Removed after the sessions are released, and never overwritten: they are mapped.
  stack.defer(async () => {
    await rm(paths.model, { force: true });
    await rm(paths.weights, { force: true });
  });
  const pool = new WeightPool(TRIAL_WEIGHTS);
  await writeFile(paths.model, pool.add(optimised), { flag: 'wx' });
  await writeWeights(paths.weights, pool);
  return await bestForm({
    portable: await opened(model.modelPath, servingOptions(['cpu'], 1)),
    inPlace: await opened(paths.model, leanOptions(1, { inPlace: true })),
    selfContained: await opened(saved, leanOptions(1, { inPlace: false })),
  });
}

async function writeWeights(path: string, { pieces }: WeightPool): Promise<void> {
  await using file = await open(path, 'wx');
  for (const { data, offset } of pieces) await file.write(data, 0, data.length, offset);
}

async function sync(path: string): Promise<void> {
  await using file = await open(path);
  await file.sync();
}
