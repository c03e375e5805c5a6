import { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { type Classifier, readClassifier } from '../import/classifier.ts';
import { countMacs } from '../import/macs.ts';
import { wrapClassifier } from '../import/wrap.ts';
import { INPUT_NAME, OUTPUT_NAME } from '../ofa/graph/input.ts';
import { labelsOf } from './labels.ts';
import { type Accuracy, accuracyOf, type Workshop } from './measure.ts';
import { costsOf, describeHost, type ProfileSettings } from './profile.ts';
import { type LevelFiles, writeFamily } from './write.ts';

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
  readonly accuracy: Accuracy;
  readonly macs: number;
}

/**
 * Makes a family of any classifiers with the same task: each is checked, given the family's input, counted,
 * evaluated and profiled; the quickest is level 0.
 * @throws AppError `invalid` naming a model that cannot be taken, or that tells other classes apart
 */
export async function importFamily(options: ImportOptions): Promise<Family> {
  const { models, evaluation, profile } = options;
  const classifiers = models.map(({ path, bytes }) => checked(path, bytes, options));
  const labels = labelsOf(options.labels, evaluation, sameClasses(models, classifiers));
  const imported: Imported[] = [];
  for (const [index, classifier] of classifiers.entries()) {
    options.signal?.throwIfAborted();
    imported.push(await measured(models[index]?.path ?? '', classifier, options));
  }
  const { report, profiles } = await costsOf(
    imported.map(({ model }) => model),
    profile,
  );
  const files = imported.map(({ model, accuracy, macs }, index): LevelFiles => {
    const latencyMs = profiles[index]?.latencyMs.p50 ?? Number.NaN;
    return { level: { accuracy: accuracy.accuracy, accuracyImages: accuracy.count, latencyMs, macs }, model };
  });
  const [height, width, channels] = evaluation.shape;
  const manifest = {
    name: options.name,
    version: options.version,
    task: 'image-classification' as const,
    labels,
    input: {
      name: INPUT_NAME,
      type: 'uint8' as const,
      shape: [1, height, width, channels] as [1, number, number, number],
    },
    output: { name: OUTPUT_NAME, type: 'float32' as const, shape: [1, labels.length] as [1, number] },
    provenance: {
      source: `imported: ${models.map(({ path }) => path).join(', ')}`.slice(0, 2_048),
      accuracy: `top-1 on the ${evaluation.count} images of ${evaluation.name}, in ONNX Runtime`,
      latency: describeHost(report),
    },
  };
  const byLatency = files.toSorted((a, b) => (a.level.latencyMs ?? 0) - (b.level.latencyMs ?? 0));
  return await writeFamily(options.folder, manifest, byLatency);
}

function checked(path: string, bytes: Uint8Array, { classifier, onWarning }: ImportOptions): Classifier {
  const read = readClassifier(bytes, path, classifier);
  for (const warning of read.warnings) onWarning(`${path}: ${warning}`);
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

async function measured(path: string, classifier: Classifier, options: ImportOptions): Promise<Imported> {
  const { mean, std, outputIsProbability, evaluation } = options;
  const [height, width] = evaluation.shape;
  const model = wrapClassifier(classifier, {
    frame: [height, width],
    mean,
    std,
    ...(outputIsProbability === undefined ? {} : { outputIsProbability }),
  });
  const macs = await countMacs(model, path);
  return { path, model, macs, accuracy: await accuracyOf(options, model, evaluation, path) };
}
