import Type from 'typebox';
import { sha256 } from '../../shared/files.ts';
import { parserOf } from '../../shared/schema.ts';
import { calibratedRecipe } from '../calibrate/recipe.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { evaluateModel } from '../evaluate/evaluate.ts';
import { type Journal, stepKey } from '../journal.ts';
import { canonicalArchitecture } from '../ofa/architecture.ts';
import type { Backbone } from '../ofa/backbone.ts';
import { QUANTISER_VERSION } from '../ofa/quantise/int8-model.ts';
import { CUTTER_VERSION, decodeRecipe, encodeRecipe, type Recipe } from '../ofa/recipe.ts';
import type { Candidate } from '../predictor/accuracy-predictor.ts';

/** What steps of making sub-networks have in common. */
export interface Workshop {
  readonly backbone: Backbone;
  /** Images to recalibrate on. */
  readonly calibration: Dataset;
  readonly batchSize: number;
  /** What was done before is not done again. */
  readonly journal: Pick<Journal, 'step'>;
  /** Called during a step with how far it is. */
  readonly onStep?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** A sub-network with its recipe, from which its model is cut. */
export interface MadeSubNetwork extends Candidate {
  readonly recipe: Recipe;
  readonly recipeBytes: Uint8Array;
}

const parseBase64 = parserOf(Type.String());

/** Calibrates a sub-network; its recipe is the one that will be read back. */
export async function makeSubNetwork(shop: Workshop, choice: Candidate): Promise<MadeSubNetwork> {
  const { backbone, calibration, batchSize, journal } = shop;
  const architecture = canonicalArchitecture(backbone.space, choice.architecture);
  const versions = [CUTTER_VERSION, choice.precision === 'int8' ? QUANTISER_VERSION : 0];
  const inputs = [backbone.id, architecture, choice.precision, calibration.digest, batchSize, versions];
  const encoded = await journal.step(stepKey('recipe', ...inputs), parseBase64, async () => {
    shop.onStep?.(`calibrating ${nameOf(choice)}`);
    const { precision } = choice;
    const run = shop.signal === undefined ? {} : { signal: shop.signal };
    const work = { backbone, architecture, precision, images: calibration, batchSize, ...run };
    const recipe = await calibratedRecipe(work);
    return Buffer.from(encodeRecipe(recipe)).toString('base64');
  });
  const recipeBytes = new Uint8Array(Buffer.from(encoded, 'base64'));
  const recipe = decodeRecipe(recipeBytes, `the recipe of ${nameOf(choice)}`);
  return { ...choice, architecture, recipe, recipeBytes };
}

const AccuracySchema = Type.Object({
  accuracy: Type.Number(),
  standardError: Type.Number(),
  count: Type.Integer(),
});
const parseAccuracy = parserOf(AccuracySchema);
export type Accuracy = Type.Static<typeof AccuracySchema>;

/** Top-1 of a model on labelled images. */
export async function accuracyOf(
  { journal, onStep, signal }: Pick<Workshop, 'journal' | 'onStep' | 'signal'>,
  model: Uint8Array,
  dataset: Dataset,
  what: string,
): Promise<Accuracy> {
  return await journal.step(stepKey('accuracy', sha256(model), dataset.digest), parseAccuracy, async () => {
    onStep?.(`evaluating ${what}`);
    const { accuracy, standardError, count } = await evaluateModel({
      model,
      what,
      dataset,
      ...(signal === undefined ? {} : { signal }),
    });
    return { accuracy, standardError, count };
  });
}

/** A sub-network in a few letters: `k3-7 e3-6 d10 r28 int8`. */
export function nameOf({ architecture, precision }: Candidate): string {
  const { ks, e, d, r } = architecture;
  const layers = d.reduce((sum, depth) => sum + depth, 0);
  return `k${spanOf(ks)} e${spanOf(e)} d${layers} r${r} ${precision}`;
}

/** From the least to the greatest of at least one value: `3-7`, or `3` where all are equal. */
export function spanOf(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? String(low) : `${low}-${high}`;
}
