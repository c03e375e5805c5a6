import { basename } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import { sha256 } from '../../shared/files.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { type Classifier, readClassifier } from '../import/classifier.ts';
import { countMacs } from '../import/macs.ts';
import { wrapClassifier } from '../import/wrap.ts';
import { INPUT_NAME, OUTPUT_NAME } from '../ofa/graph/input.ts';
import { labelsOf } from './labels.ts';
import { type Accuracy, accuracyOf, type Workshop } from './measure.ts';
import { costsOf, describeHost, type ProfileSettings } from './profile.ts';
import { checkManifest, type LevelFiles, MAX_LEVELS, type ManifestHead, writeFamily } from './write.ts';

/** What a manifest has room for in one text. */
const MAX_TEXT = 2_048;

export interface ImportOptions extends Pick<Workshop, 'journal' | 'onStep' | 'signal'> {
  readonly folder: string;
  readonly name: string;
  readonly version: number;
  /** ONNX files of classifiers of one task. */
  readonly models: readonly { readonly path: string; readonly bytes: Uint8Array }[];
  /** Labelled images: frames of the family's size. */
  readonly evaluation: Dataset;
  readonly labels: readonly string[] | undefined;
  /** Of pixels as 0..1, for models that take floats. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly classifier: Parameters<typeof readClassifier>[2];
  /** The models' outputs are probabilities, where that cannot be seen in the graph. */
  readonly outputIsProbability?: boolean;
  readonly profile: ProfileSettings;
  readonly onWarning: (line: string) => void;
}

interface Imported {
  readonly path: string;
  readonly model: Uint8Array;
  readonly macs: number;
}

/**
 * Makes a family of any classifiers with the same task: each is checked, given the family's input and
 * counted, before the first one is evaluated; then evaluated and profiled. The quickest is level 0.
 * @throws AppError `invalid` naming a model that cannot be taken, that tells other classes apart, or that is
 * there twice
 */
export async function importFamily(options: ImportOptions): Promise<Family> {
  const { models, evaluation, profile } = options;
  if (models.length > MAX_LEVELS) {
    throw new AppError('usage', `${models.length} models, a family has at most ${MAX_LEVELS}`);
  }
  const classifiers = models.map(({ path, bytes }) => checked(path, bytes, options));
  const labels = labelsOf(options.labels, evaluation, sameClasses(models, classifiers));
  checkManifest(manifestOf(options, labels, ''));
  const imported: Imported[] = [];
  for (const [index, classifier] of classifiers.entries()) {
    imported.push(await wrapped(models[index]?.path ?? '', classifier, options));
  }
  checkDifferent(imported);
  const accuracies: Accuracy[] = [];
  for (const { model, path } of imported) {
    options.signal?.throwIfAborted();
    accuracies.push(await accuracyOf(options, model, evaluation, path));
  }
  const { report, profiles } = await costsOf(
    imported.map(
      ({ model }) =>
        () =>
          model,
    ),
    profile,
  );
  const files = imported.map(({ model, macs }, index): LevelFiles => {
    const { accuracy = Number.NaN, count = 1 } = accuracies[index] ?? {};
    const latencyMs = profiles[index]?.latencyMs.p50 ?? Number.NaN;
    return { level: { accuracy, accuracyImages: count, latencyMs, macs }, model };
  });
  const byLatency = files.toSorted((a, b) => (a.level.latencyMs ?? 0) - (b.level.latencyMs ?? 0));
  return await writeFamily(options.folder, manifestOf(options, labels, describeHost(report)), byLatency);
}

function manifestOf(
  { name, version, models, evaluation }: ImportOptions,
  labels: string[],
  latency: string,
): ManifestHead {
  const [height, width, channels] = evaluation.shape;
  return {
    name,
    version,
    task: 'image-classification',
    labels,
    input: { name: INPUT_NAME, type: 'uint8', shape: [1, height, width, channels] },
    output: { name: OUTPUT_NAME, type: 'float32', shape: [1, labels.length] },
    provenance: {
      source: `imported: ${models.map(({ path }) => basename(path)).join(', ')}`.slice(0, MAX_TEXT),
      accuracy: `top-1 on the ${evaluation.count} images of ${evaluation.name}, in ONNX Runtime`,
      latency,
    },
  };
}

function checkDifferent(imported: readonly Imported[]): void {
  const paths = new Map<string, string>();
  for (const { path, model, macs } of imported) {
    const hash = sha256(model);
    const other = paths.get(hash);
    if (other !== undefined) throw new AppError('invalid', `${path}: it is the same network as ${other}`);
    if (macs < 1) throw new AppError('invalid', `${path}: it multiplies nothing, so it is no network`);
    paths.set(hash, path);
  }
}

function checked(path: string, bytes: Uint8Array, { classifier, onWarning }: ImportOptions): Classifier {
  const read = readClassifier(bytes, path, classifier);
  for (const warning of read.warnings) onWarning(warning);
  return read;
}

function sameClasses(models: ImportOptions['models'], classifiers: readonly Classifier[]): number {
  const [first] = classifiers;
  if (first === undefined) throw new AppError('usage', 'name at least one ONNX file');
  const other = classifiers.findIndex(({ output }) => output.classes !== first.output.classes);
  if (other < 0) return first.output.classes;
  throw new AppError(
    'invalid',
    `${models[other]?.path} tells ${classifiers[other]?.output.classes} classes apart, ${models[0]?.path} ${first.output.classes}: a family has one task`,
  );
}

async function wrapped(path: string, classifier: Classifier, options: ImportOptions): Promise<Imported> {
  const { mean, std, outputIsProbability, evaluation } = options;
  const [height, width] = evaluation.shape;
  const model = wrapClassifier(classifier, {
    frame: [height, width],
    mean,
    std,
    ...(outputIsProbability === undefined ? {} : { outputIsProbability }),
  });
  return { path, model, macs: await countMacs(model, path) };
}
