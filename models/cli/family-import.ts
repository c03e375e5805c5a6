import { type Command, Option } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { AppError } from '../../shared/errors.ts';
import { readWhole } from '../../shared/files.ts';
import { type ImportOptions as ImportFamilyOptions, importFamily } from '../family/import.ts';
import { MAX_MODEL_BYTES } from '../import/wire.ts';
import type { Cli } from './context.ts';
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
  addCrop,
  addExamples,
  type DataFlags,
  datasetOptions,
  loadDataset,
  loadLabels,
  noteLabelOrder,
  parseSize,
} from './options.ts';
import { withWork } from './work.ts';

interface ImportOptions extends WriteOptions, OutputOptions, DataFlags {
  readonly frame: string;
  readonly channels: '1' | '3';
  readonly mean: string;
  readonly std: string;
  readonly layout?: 'NCHW' | 'NHWC';
  readonly size?: string;
  readonly probabilities?: true;
}

/** `family import`. */
export function addFamilyImport(family: Command, cli: Cli): void {
  const command = addCrop(addFamilyWriting(family.command('import')))
    .argument('<models...>', 'ONNX files of classifiers with the same task')
    .description('Make a family of any ONNX classifiers, checked and measured as sub-networks are.')
    .requiredOption('--frame <HxW>', 'size of the frames that the family takes')
    .addOption(new Option('--channels <n>', 'of the frames: 3 is RGB').choices(['1', '3']).default('3'))
    .option('--mean <values>', 'of pixels as 0..1, for models that take floats: one, or one per channel', '0')
    .option('--std <values>', 'of pixels as 0..1, likewise', '1')
    .addOption(
      new Option('--layout <name>', 'of models that take floats, where it is not plain').choices([
        'NCHW',
        'NHWC',
      ]),
    )
    .option('--size <HxW>', 'what models see that leave their size open')
    .option('--probabilities', 'the outputs are probabilities, where the graph does not show it')
    .action((models: string[], options: ImportOptions) =>
      cli.stoppable((signal) => importModels(cli, models, options, signal)),
    );
  addExamples(
    addOutput(command),
    'family import small.onnx large.onnx --frame 224x224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --data /data/val --name mine --out mine',
  );
}

async function importModels(
  cli: Cli,
  paths: readonly string[],
  options: ImportOptions,
  signal: AbortSignal,
): Promise<void> {
  const name = familyName(options.name);
  const version = await familyTarget(cli, options, signal);
  const channels = Number(options.channels);
  const labels = await loadLabels(options.labels);
  const evaluation = await loadDataset(options.data, {
    shape: [...parseSize(options.frame, '--frame'), channels],
    ...(labels === undefined ? {} : { labels }),
    ...datasetOptions(options),
    signal,
  });
  noteLabelOrder(cli, evaluation);
  const models = await Promise.all(
    paths.map(async (path) => ({ path, bytes: await readWhole(path, MAX_MODEL_BYTES) })),
  );
  const plan: Omit<ImportFamilyOptions, 'journal'> = {
    models,
    evaluation,
    labels,
    mean: perChannel(options.mean, channels, '--mean'),
    std: perChannel(options.std, channels, '--std'),
    classifier: {
      ...(options.layout === undefined ? {} : { layout: options.layout }),
      ...(options.size === undefined ? {} : { size: parseSize(options.size, '--size') }),
    },
    ...(options.probabilities === undefined ? {} : { outputIsProbability: true }),
    folder: options.out,
    name,
    version,
    profile: profileSettings(cli, options, signal),
    signal,
    onStep: cli.note,
    onWarning: cli.note,
  };
  const family = await withWork(options.out, options.work, (journal) => importFamily({ ...plan, journal }));
  const { levels } = family.manifest;
  const json = { folder: options.out, sha256: family.sha256, levels };
  cli.print({ rows: levelRows(levels), columns: LEVEL_COLUMNS, json }, options.output);
}

/** One number for all channels, or one for each. */
function perChannel(text: string, channels: number, what: string): number[] {
  const values = text.split(',').map(Number);
  if (!values.every(Number.isFinite) || (values.length !== 1 && values.length !== channels)) {
    throw new AppError('usage', `${what}: '${text}', expected 1 or ${channels} numbers, with commas between`);
  }
  return values.length === 1 ? Array.from({ length: channels }, () => values[0] ?? 0) : values;
}
