import { existsSync } from 'node:fs';
import { AppError, describeError } from '../../shared/errors.ts';
import {
  createSession,
  createSessionFromBytes,
  type Session,
  servingOptions,
  Tensor,
} from '../../shared/onnx.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { type FrameForm, formOf, type ModelForm, type NormalisedForm } from './input-form.ts';
import { type Preprocess, preprocessor } from './preprocess.ts';
import { type Evaluation, Tally } from './tally.ts';

export interface EvaluateOptions {
  /** Path or bytes of an ONNX file. */
  readonly model: string | Uint8Array;
  /** Names the model in errors; default its path. */
  readonly what?: string;
  readonly dataset: Dataset;
  /** For a model of normalised floats, which cannot say it itself. */
  readonly preprocess?: Preprocess;
  /** Intra-op threads, default 1. */
  readonly threads?: number;
  /** Only the first so many images; default all. */
  readonly limit?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Says what a model takes and gives, without running it.
 * @throws AppError `not-found` when there is no such file, `invalid` when it cannot be loaded, or is no
 * classifier of images
 */
export async function readModelForm(path: string): Promise<ModelForm> {
  const session = await openSession({ model: path }, path);
  try {
    return formOf(session, path);
  } finally {
    await session.release();
  }
}

/** Images that are decoded at once: decoding runs beside the model, on other cores. */
const DECODED_AT_ONCE = 16;
/** Images of one run, where the model leaves it open. */
const BATCH = 16;

/** Runs images through a session: their logits, one array each. */
type RunImages = (images: readonly Uint8Array[]) => Promise<Float32Array[]>;

/**
 * Measures a classifier's accuracy in ONNX Runtime on the CPU. Each run blocks the thread; between two runs
 * the event loop turns, so that signals and timers are served.
 * @throws AppError `not-found` when there is no such file, `invalid` when the model cannot be loaded or run,
 * or does not fit the data set, `config` when its `preprocess` is missing or does not fit, `usage` for a limit
 * below 1; the signal's reason when it aborts
 */
export async function evaluateModel(options: EvaluateOptions): Promise<Evaluation> {
  const { dataset, onProgress, signal } = options;
  const what = options.what ?? (typeof options.model === 'string' ? options.model : 'the model');
  const total = totalOf(options);
  signal?.throwIfAborted();
  const session = await openSession(options, what);
  try {
    const form = formOf(session, what);
    const run = runnerOf(session, form, options, what);
    const tally = new Tally(form.classes, total);
    for (let done = 0; done < total; ) {
      const size = Math.min(DECODED_AT_ONCE, total - done);
      const start = done;
      const images = await Promise.all(
        Array.from({ length: size }, (_, index) => dataset.image(start + index)),
      );
      for (const logits of await run(images)) {
        tally.add(logits, labelWithin(dataset, done, form.classes, what));
        done += 1;
      }
      onProgress?.(done, total);
    }
    return tally.result(dataset.labels);
  } finally {
    await session.release();
  }
}

function totalOf({ dataset, limit = dataset.count }: EvaluateOptions): number {
  if (Number.isSafeInteger(limit) && limit > 0) return Math.min(dataset.count, limit);
  throw new AppError('usage', `limit: ${limit}, expected a number of images, at least 1`);
}

async function openSession(
  { model, threads = 1 }: Pick<EvaluateOptions, 'model' | 'threads'>,
  what: string,
): Promise<Session> {
  const options = servingOptions(['cpu'], threads);
  // The library takes the path, for files that a model may have beside it, and tells no kinds of errors apart.
  if (typeof model === 'string' && !existsSync(model)) {
    throw new AppError('not-found', `${what}: there is no such file`);
  }
  try {
    return await (typeof model === 'string'
      ? createSession(model, options)
      : createSessionFromBytes(model, options));
  } catch (cause) {
    throw new AppError('invalid', `${what}: cannot be loaded: ${describeError(cause)}`, { cause });
  }
}

function labelWithin(dataset: Dataset, index: number, classes: number, what: string): number {
  const label = dataset.label(index);
  if (label < classes) return label;
  throw new AppError(
    'invalid',
    `${dataset.name}: image ${index} has label ${label}, ${what} has ${classes} classes`,
  );
}

function runnerOf(session: Session, form: ModelForm, options: EvaluateOptions, what: string): RunImages {
  const { input } = form;
  const run = async (tensor: Tensor): Promise<Float32Array> => {
    options.signal?.throwIfAborted();
    let data: unknown;
    try {
      data = (await session.run({ [input.name]: tensor }, [form.outputName]))[form.outputName]?.data;
    } catch (cause) {
      throw new AppError('invalid', `${what}: its run failed: ${describeError(cause)}`, { cause });
    }
    if (data instanceof Float32Array && data.length === (tensor.dims[0] ?? 1) * form.classes) return data;
    throw new AppError('invalid', `${what}: did not give ${form.classes} float32 values for an image`);
  };
  return input.kind === 'frames'
    ? frameRunner(run, input, options.dataset, what)
    : normalisedRunner(run, { ...form, input }, options, what);
}

type RunTensor = (tensor: Tensor) => Promise<Float32Array>;

function frameRunner(run: RunTensor, { shape }: FrameForm, dataset: Dataset, what: string): RunImages {
  if (shape.some((size, index) => size !== undefined && size !== dataset.shape[index])) {
    const takes = shape.map((size) => size ?? '?').join(' x ');
    throw new AppError(
      'invalid',
      `${what}: takes frames of ${takes}, ${dataset.name} has ${dataset.shape.join(' x ')}`,
    );
  }
  return async (images) => {
    const answers: Float32Array[] = [];
    for (const image of images) answers.push(await run(new Tensor('uint8', image, [1, ...dataset.shape])));
    return answers;
  };
}

function normalisedRunner(
  run: RunTensor,
  { input, classes }: ModelForm & { readonly input: NormalisedForm },
  { dataset, preprocess }: EvaluateOptions,
  what: string,
): RunImages {
  const { prepare, resolution, channels } = preparation(input, dataset, preprocess, what);
  const size = channels * resolution * resolution;
  return async (images) => {
    const answers: Float32Array[] = [];
    for (let start = 0; start < images.length; ) {
      const taken = images.slice(start, start + (input.batch ?? BATCH));
      // A model with a fixed batch gets it whole; what it says of the images that are not there is left out.
      const batch = input.batch ?? taken.length;
      const data = new Float32Array(batch * size);
      for (const [index, image] of taken.entries()) prepare(image, data.subarray(index * size));
      const logits = await run(new Tensor('float32', data, [batch, channels, resolution, resolution]));
      for (const index of taken.keys()) answers.push(logits.slice(index * classes, (index + 1) * classes));
      start += taken.length;
    }
    return answers;
  };
}

function preparation(
  input: NormalisedForm,
  dataset: Dataset,
  preprocess: Preprocess | undefined,
  what: string,
) {
  const channels = dataset.shape[2];
  if (input.channels !== undefined && input.channels !== channels) {
    throw new AppError(
      'invalid',
      `${what}: takes ${input.channels} channels, ${dataset.name} has ${channels}`,
    );
  }
  if (preprocess === undefined) {
    throw new AppError(
      'config',
      `${what}: takes normalised floats; mean and std of the pixels are not given`,
    );
  }
  const resolution = input.resolution ?? preprocess.resolution;
  if (resolution === undefined) {
    throw new AppError('config', `${what}: leaves its resolution open, and none is given`);
  }
  if (preprocess.resolution !== undefined && preprocess.resolution !== resolution) {
    throw new AppError(
      'config',
      `${what}: takes images of ${resolution} x ${resolution}, the resolution given is ${preprocess.resolution}`,
    );
  }
  return { prepare: preprocessor(dataset.shape, resolution, preprocess), resolution, channels };
}
