/** The process that cuts models: one after the other, out of one backbone. It ends with its work, or its parent. */

import { open } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { type Backbone, backboneOf } from '../../models/ofa/backbone.ts';
import { cutModel } from '../../models/ofa/cut.ts';
import { decodeRecipe } from '../../models/ofa/recipe.ts';
import { parseSafetensors } from '../../models/ofa/safetensors.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { readWhole, sha256 } from '../../shared/files.ts';
import { sayToParent, serveParent } from '../../shared/native-child-side.ts';
import { MAX_BLOB_BYTES } from '../../shared/protocol/release.ts';
import type { Cut, CutTask, FromCutter } from './cut.ts';

/** A recipe has kilobytes: statistics of each channel. */
const MAX_RECIPE_BYTES = 64 * 1024 * 1024;

serveParent<CutTask>(report);

async function report({ backbonePath, cuts }: CutTask): Promise<void> {
  try {
    // What serves goes first.
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
    const bytes = await readWhole(backbonePath, MAX_BLOB_BYTES);
    const backbone = backboneOf(parseSafetensors(bytes, backbonePath), { what: backbonePath });
    for (const [index, cut] of cuts.entries()) {
      await make(backbone, cut);
      await tell({ kind: 'cut', index });
    }
    await tell({ kind: 'done' });
  } catch (error) {
    const code = error instanceof AppError && error.code === 'invalid' ? 'invalid' : 'system';
    await tell({ kind: 'failed', code, message: describeError(error) });
  }
  process.disconnect();
}

function tell(message: FromCutter): Promise<void> {
  return sayToParent(message);
}

async function make(backbone: Backbone, cut: Cut): Promise<void> {
  const recipe = decodeRecipe(await readWhole(cut.recipePath, MAX_RECIPE_BYTES), cut.recipePath);
  const model = cutModel(backbone, recipe);
  const actual = sha256(model);
  if (actual !== cut.sha256) {
    throw new AppError(
      'invalid',
      `${cut.recipePath}: the model that was cut has SHA-256 ${actual}, the family says ${cut.sha256}`,
    );
  }
  await using file = await open(cut.modelPath, 'wx');
  await file.writeFile(model);
  await file.sync();
}
