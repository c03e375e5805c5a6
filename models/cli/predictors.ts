import Type from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { parserOf } from '../../shared/schema.ts';
import { readCheckpoint } from '../checkpoint/read.ts';
import type { SearchSpace } from '../ofa/space.ts';
import type { AccuracyPredictor } from '../predictor/accuracy-predictor.ts';
import { FittedFileSchema, loadFitted } from '../predictor/fitted.ts';
import { publishedMlp } from '../predictor/published-mlp.ts';
import { publishedPath } from '../reference.ts';
import { readJson } from './options.ts';

export interface PredictorChoice {
  /** A file, or `published`. */
  readonly named: string | undefined;
  readonly continuousResolution: boolean;
  /** Those that it will be asked for: the published one does not know all of its space's. */
  readonly resolutions: readonly number[];
}

const PredictorFileSchema = Type.Object({
  backbone: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  fitted: FittedFileSchema,
});

/** A predictor, to be disposed of. */
export interface OpenPredictor extends AccuracyPredictor, AsyncDisposable {
  /** Id of the backbone that it was fitted to, where that is known: it says little about others. */
  readonly backbone?: string;
}

/**
 * Opens an accuracy predictor: the published network as safetensors, or a fitted one as JSON.
 * @throws AppError `usage` when none is named, `invalid` when it is another space's
 */
export async function openPredictor(
  env: NodeJS.ProcessEnv,
  space: SearchSpace,
  { named, continuousResolution, resolutions }: PredictorChoice,
): Promise<OpenPredictor> {
  if (named === undefined) throw new AppError('usage', 'name an accuracy predictor with --predictor');
  const path = publishedPath('predictor', named, env);
  if (path.endsWith('.safetensors')) {
    const { close, ...predictor } = await publishedMlp(
      await readCheckpoint(path),
      { ...space, resolutions },
      { continuousResolution },
    );
    return { ...predictor, [Symbol.asyncDispose]: close };
  }
  if (continuousResolution) {
    throw new AppError('usage', '--continuous-resolution is for the published predictor only');
  }
  const { backbone, fitted } = await readJson(path, parserOf(PredictorFileSchema));
  const { name, predict } = loadFitted(space, fitted, path);
  return {
    name,
    predict,
    ...(backbone === undefined ? {} : { backbone }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
