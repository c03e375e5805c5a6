import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Dataset } from '../datasets/dataset.ts';
import {
  type BuildOptions as BuildFamilyOptions,
  buildFamily,
  type MeasuredCandidate,
} from '../family/build.ts';
import { chooseLevels } from '../family/choose.ts';
import { type FrontFile, frontParser } from '../family/front-file.ts';
import { labelsOf } from '../family/labels.ts';
import { MAX_LEVELS } from '../family/write.ts';
import { checkArchitecture, writtenArchitecture } from '../ofa/architecture.ts';
import type { Backbone } from '../ofa/backbone.ts';
import type { Candidate } from '../predictor/accuracy-predictor.ts';
import type { Cli } from './context.ts';
import { addCalibration, type CalibrationFlags, needCalibration, openCalibration } from './cut-options.ts';
import {
  addFamilyWriting,
  familyName,
  familyTarget,
  LEVEL_COLUMNS,
  levelRows,
  profileSettings,
  type WriteOptions,
} from './family-options.ts';
import {
  addBackbone,
  addExamples,
  type BackboneOptions,
  labelledOptions,
  loadBackbone,
  loadDataset,
  noteLabelOrder,
  readJson,
} from './options.ts';
import { withWork } from './work.ts';

/** Of every front so many times the levels are measured: what is predicted is not yet true. */
const CANDIDATES_PER_LEVEL = 3;

interface BuildOptions extends WriteOptions, BackboneOptions, CalibrationFlags, OutputOptions {
  readonly front: string;
  readonly levels: string;
  readonly candidates?: string;
  readonly selectOn?: string;
  readonly frame?: string;
}

/** `family build`. */
export function addFamilyBuild(family: Command, cli: Cli): void {
  const command = addFamilyWriting(addCalibration(addBackbone(family.command('build'))))
    .description('Cut, calibrate, evaluate and profile what a search found, and make a family of the best.')
    .requiredOption(
      '--front <files>',
      'what search wrote; several fronts, with commas between, are taken together',
    )
    .option('--levels <n>', 'levels of the family', '6')
    .option(
      '--candidates <n>',
      `sub-networks to measure of each front; default ${CANDIDATES_PER_LEVEL} times the levels`,
    )
    .option('--select-on <data>', 'labelled images to choose the levels by; default those of --data')
    .option('--frame <HxW>', "size of the frames; default the backbone's own")
    .action((options: BuildOptions) => cli.stoppable((signal) => build(cli, options, signal)));
  addExamples(
    addOutput(command),
    'family build --front front.json --calibration fashion-mnist-calibration --data fashion-mnist --name clothes --out clothes',
  );
}

async function build(cli: Cli, options: BuildOptions, signal: AbortSignal): Promise<void> {
  const name = familyName(options.name);
  const version = await familyTarget(cli, options, signal);
  needCalibration(options);
  const backbone = await loadBackbone(options);
  const fronts = await Promise.all(options.front.split(',').map((path) => readJson(path, frontParser())));
  const levels = parseCount(options.levels, '--levels');
  if (levels > MAX_LEVELS) throw new AppError('usage', `--levels: a family has at most ${MAX_LEVELS}`);
  const candidates = candidatesOf(fronts, backbone, options, levels);
  const data = await openData(cli, backbone, options, signal);
  const progress = cli.progress('candidates');
  const plan: Omit<BuildFamilyOptions, 'journal'> = {
    backbone,
    backboneName: options.backbone,
    ...data,
    batchSize: parseCount(options.batchSize, '--batch-size'),
    signal,
    folder: options.out,
    name,
    version,
    candidates,
    levels,
    profile: profileSettings(cli, options, signal),
    provenance: Object.assign({}, ...fronts.map(({ provenance }) => provenance)),
    onCandidate: (done, total) => {
      progress.update(done, total);
      if (done === total) progress.done();
    },
  };
  const built = await withWork(options.out, options.work, (journal) => buildFamily({ ...plan, journal }));
  const { manifest, sha256 } = built.family;
  const json = {
    folder: options.out,
    sha256,
    levels: manifest.levels,
    candidates: built.candidates.map(describeCandidate),
  };
  cli.print({ rows: levelRows(manifest.levels), columns: LEVEL_COLUMNS, json }, options.output);
}

function candidatesOf(
  fronts: readonly FrontFile[],
  { space }: Backbone,
  options: BuildOptions,
  levels: number,
): Candidate[] {
  const wanted =
    options.candidates === undefined
      ? CANDIDATES_PER_LEVEL * levels
      : parseCount(options.candidates, '--candidates');
  const chosen = fronts.flatMap(({ points }) => chooseLevels(points, wanted));
  for (const { architecture } of chosen) checkArchitecture(space, architecture, '--front');
  return chosen;
}

interface Data {
  readonly calibration: Dataset;
  readonly selection: Dataset;
  readonly evaluation: Dataset;
  readonly labels: readonly string[];
}

async function openData(
  cli: Cli,
  backbone: Backbone,
  options: BuildOptions,
  signal: AbortSignal,
): Promise<Data> {
  const as = await labelledOptions(backbone, options, signal);
  const calibration = await openCalibration(backbone, options, options.frame, signal, cli.note);
  const evaluation = await loadDataset(options.data, as);
  noteLabelOrder(cli, evaluation);
  if (options.selectOn === undefined) {
    cli.note(
      'the levels are chosen by the images that their accuracy is stated on, which flatters it; --select-on names others',
    );
  }
  const selection = options.selectOn === undefined ? evaluation : await loadDataset(options.selectOn, as);
  return {
    calibration,
    selection,
    evaluation,
    labels: labelsOf(as.labels, evaluation, backbone.space.classes),
  };
}

function describeCandidate(candidate: MeasuredCandidate) {
  const { architecture, precision, latencyMs, accuracy, standardError, count } = candidate;
  const written = writtenArchitecture(architecture);
  return { architecture: written, precision, latencyMs, accuracy, standardError, count };
}
