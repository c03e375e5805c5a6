import { basename } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { writtenArchitecture } from '../ofa/architecture.ts';
import { costOf } from '../ofa/cost.ts';
import { cutModel } from '../ofa/cut.ts';
import { INPUT_NAME, OUTPUT_NAME } from '../ofa/graph/input.ts';
import type { Candidate } from '../predictor/accuracy-predictor.ts';
import { chooseLevels } from './choose.ts';
import {
  type Accuracy,
  accuracyOf,
  type MadeSubNetwork,
  makeSubNetwork,
  nameOf,
  type Workshop,
} from './measure.ts';
import { type Costs, costsOf, describeHost, type ProfileSettings } from './profile.ts';
import { checkManifest, type LevelFiles, type ManifestHead, writeFamily } from './write.ts';

/** What a manifest has room for. */
const MAX_NAME = 256;
const MAX_TEXT = 2_048;

export interface BuildOptions extends Workshop {
  readonly folder: string;
  readonly name: string;
  readonly version: number;
  readonly backboneName: string;
  readonly labels: readonly string[];
  /** What a search proposes; more than there will be levels. */
  readonly candidates: readonly Candidate[];
  /** How many levels the family is to have at most. */
  readonly levels: number;
  /** Labelled images by which the levels are chosen: not those that their accuracy is then stated on. */
  readonly selection: Dataset;
  /** Labelled images that the levels' accuracy is stated on. */
  readonly evaluation: Dataset;
  readonly profile: ProfileSettings;
  /** Where the candidates come from, for people. */
  readonly provenance: Readonly<Record<string, string>>;
  /** Called after each candidate. */
  readonly onCandidate?: (done: number, total: number) => void;
}

/** A candidate as it was measured here. */
export interface MeasuredCandidate extends MadeSubNetwork, Accuracy {
  /** Median of one inference. */
  readonly latencyMs: number;
}

export interface BuiltFamily {
  readonly family: Family;
  /** All candidates, in the order in which they were given. */
  readonly candidates: readonly MeasuredCandidate[];
}

/**
 * Makes a family of a search's candidates: calibrates, cuts, evaluates and profiles each, keeps the best
 * ones of those that no other one beats, states their accuracy on images that had no say in the choice, and
 * writes the family's folder.
 * @throws AppError `invalid` when data sets, labels and backbone do not fit each other
 */
export async function buildFamily(options: BuildOptions): Promise<BuiltFamily> {
  checkFit(options);
  checkManifest(manifestOf(options, ''));
  const { candidates, report } = await measureCandidates(options);
  const chosen = chooseLevels(candidates, options.levels);
  const files: LevelFiles[] = [];
  for (const candidate of chosen) files.push(await levelOf(candidate, options));
  const family = await writeFamily(options.folder, manifestOf(options, describeHost(report)), files);
  return { family, candidates };
}

function checkFit({ backbone, labels, calibration, selection, evaluation }: BuildOptions): void {
  const { classes } = backbone.space;
  if (labels.length !== classes) {
    throw new AppError('invalid', `${labels.length} labels, the backbone has ${classes} classes`);
  }
  for (const { name, shape } of [selection, evaluation]) {
    if (String(shape) === String(calibration.shape)) continue;
    const [found, expected] = [shape.join('x'), calibration.shape.join('x')];
    throw new AppError('invalid', `${name}: images of ${found}, the calibration images are ${expected}`);
  }
}

async function measureCandidates(
  options: BuildOptions,
): Promise<{ candidates: MeasuredCandidate[]; report: Costs['report'] }> {
  const made: { sub: MadeSubNetwork; accuracy: Accuracy }[] = [];
  for (const [index, choice] of options.candidates.entries()) {
    options.signal?.throwIfAborted();
    const sub = await makeSubNetwork(options, choice);
    made.push({
      sub,
      accuracy: await accuracyOf(options, modelOf(options, sub), options.selection, nameOf(sub)),
    });
    options.onCandidate?.(index + 1, options.candidates.length);
  }
  const models = made.map(
    ({ sub }) =>
      () =>
        modelOf(options, sub),
  );
  const { profiles, report } = await costsOf(models, options.profile);
  const candidates = made.map(({ sub, accuracy }, index) => ({
    ...sub,
    ...accuracy,
    latencyMs: profiles[index]?.latencyMs.p50 ?? Number.NaN,
  }));
  return { candidates, report };
}

/** Cut anew each time: many models of an ImageNet backbone would not fit into memory together. */
function modelOf({ backbone }: BuildOptions, { recipe }: MadeSubNetwork): Uint8Array {
  return cutModel(backbone, recipe);
}

async function levelOf(candidate: MeasuredCandidate, options: BuildOptions): Promise<LevelFiles> {
  const { architecture, precision, recipeBytes, latencyMs } = candidate;
  const model = modelOf(options, candidate);
  const { accuracy, count } = await accuracyOf(options, model, options.evaluation, nameOf(candidate));
  const { macs } = costOf(options.backbone.space, architecture);
  return {
    level: {
      architecture: writtenArchitecture(architecture),
      precision,
      accuracy,
      accuracyImages: count,
      latencyMs,
      macs,
    },
    model,
    recipe: recipeBytes,
  };
}

function manifestOf(options: BuildOptions, latency: string): ManifestHead {
  const { name, version, labels, backbone, backboneName, calibration, selection, evaluation } = options;
  const [height, width, channels] = calibration.shape;
  return {
    name,
    version,
    task: 'image-classification',
    labels: [...labels],
    input: { name: INPUT_NAME, type: 'uint8', shape: [1, height, width, channels] },
    output: { name: OUTPUT_NAME, type: 'float32', shape: [1, labels.length] },
    backbone: { id: backbone.id, name: basename(backboneName).slice(0, MAX_NAME) },
    provenance: shortened({
      ...options.provenance,
      latency,
      accuracy: `top-1 on the ${evaluation.count} images of ${evaluation.name}, in ONNX Runtime`,
      calibration: `batch norms recalibrated on ${calibration.count} images of ${calibration.name}, ${options.batchSize} at a time`,
      choice: `levels chosen by their accuracy on ${selection.count} images of ${selection.name} and their latency`,
    }),
  };
}

/** As a manifest may have it. */
function shortened(provenance: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(provenance).map(([key, text]) => [key, text.slice(0, MAX_TEXT)]));
}
