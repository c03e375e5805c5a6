import type { Command } from 'commander';
import { type Column, formatPercent } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { evaluateModel, readModelForm } from '../evaluate/evaluate.ts';
import type { Evaluation } from '../evaluate/tally.ts';
import { cutModel } from '../ofa/cut.ts';
import type { Cli } from './context.ts';
import { addCut, type CutOptions, prepareCut } from './cut-options.ts';
import { addModelInput, type ModelInput, type ModelInputFlags, modelInput } from './model-input.ts';
import {
  addExamples,
  addLabels,
  datasetOptions,
  loadDataset,
  loadLabels,
  noteLabelOrder,
} from './options.ts';
import { checkOutputs, writeOutput } from './output.ts';

interface EvaluateOptions extends CutOptions, ModelInputFlags, OutputOptions {
  readonly data: string;
  readonly labels?: string;
  readonly limit?: string;
  readonly threads: string;
  readonly predictions?: string;
}

/** `subnet evaluate`. */
export function addSubnetEvaluate(subnet: Command, cli: Cli): void {
  const command = addModelInput(addLabels(addCut(subnet.command('evaluate'))))
    .description("Measure a sub-network's accuracy in ONNX Runtime, or that of an ONNX file.")
    .option('--model <file>', 'an ONNX file, instead of --arch or --recipe')
    .requiredOption(
      '--data <data>',
      'labelled images: IMAGES,LABELS in IDX, a folder with one folder per class, a .csv of file,label, or a bundled name',
    )
    .option('--limit <n>', 'only so many images: the first ones of IDX, a spread choice of files')
    .option('--threads <n>', 'threads of ONNX Runtime', '1')
    .option('--predictions <file>', 'keep the predicted class of every image, one per line')
    .action((options: EvaluateOptions) => cli.stoppable((signal) => evaluate(cli, options, signal)));
  addExamples(
    addOutput(command),
    'subnet evaluate --arch smallest --calibration fashion-mnist-calibration --data fashion-mnist',
    'subnet evaluate --model net.onnx --data /data/val -o json',
  );
}

async function evaluate(cli: Cli, options: EvaluateOptions, signal: AbortSignal): Promise<void> {
  await checkOutputs(options.predictions);
  const { model, what, data, preprocess } = await modelOf(cli, options, signal);
  const dataset = await openData(cli, options, data, signal);
  const progress = cli.progress('evaluation');
  const evaluation = await evaluateModel({
    model,
    what,
    dataset,
    threads: parseCount(options.threads, '--threads'),
    ...(preprocess === undefined ? {} : { preprocess }),
    onProgress: (done, total) => progress.update(done, total),
    signal,
  });
  progress.done();
  const { predictions, ...json } = evaluation;
  if (options.predictions !== undefined)
    await writeOutput(options.predictions, `${predictions.join('\n')}\n`);
  cli.print(
    { rows: [evaluation], columns: COLUMNS, json: { model: what, data: dataset.name, ...json } },
    options.output,
  );
}

interface ModelToRun extends ModelInput {
  readonly model: string | Uint8Array;
  readonly what: string;
}

async function modelOf(cli: Cli, options: EvaluateOptions, signal: AbortSignal): Promise<ModelToRun> {
  if (options.model === undefined) {
    if (options.mean !== undefined || options.std !== undefined) {
      throw new AppError('usage', '--mean and --std are those of a --model');
    }
    const { backbone, recipe } = await prepareCut(cli, options, signal);
    return {
      model: cutModel(backbone, recipe),
      what: options.arch ?? options.recipe ?? '',
      data: { shape: [...recipe.frame, backbone.space.inChannels] },
    };
  }
  if (options.arch !== undefined || options.recipe !== undefined) {
    throw new AppError('usage', 'give only one of --model, --arch and --recipe');
  }
  const form = await readModelForm(options.model);
  return { model: options.model, what: options.model, ...(await modelInput(cli, form, options)) };
}

async function openData(
  cli: Cli,
  options: EvaluateOptions,
  data: ModelInput['data'],
  signal: AbortSignal,
): Promise<Dataset> {
  // The backbone says nothing of the classes of a model that was not cut from it.
  const labels = await loadLabels(options.labels, options.model === undefined ? options.backbone : undefined);
  const dataset = await loadDataset(options.data, {
    ...data,
    ...datasetOptions(options),
    ...(labels === undefined ? {} : { labels }),
    ...(options.limit === undefined ? {} : { count: parseCount(options.limit, '--limit') }),
    signal,
  });
  noteLabelOrder(cli, dataset);
  return dataset;
}

const COLUMNS: readonly Column<Evaluation>[] = [
  {
    head: 'TOP1',
    value: ({ accuracy }) => accuracy,
    text: ({ accuracy }) => formatPercent(accuracy),
    align: 'right',
  },
  {
    head: '95%',
    value: ({ interval95: [low, high] }) => `${low}..${high}`,
    text: ({ interval95: [low, high] }) => `${formatPercent(low)}..${formatPercent(high)}`,
  },
  {
    head: 'TOP5',
    value: ({ top5 }) => top5,
    text: ({ top5 }) => formatPercent(top5),
    align: 'right',
  },
  { head: 'IMAGES', value: ({ count }) => count, align: 'right' },
  {
    head: 'CONFIDENCE',
    value: ({ meanConfidence }) => meanConfidence,
    text: ({ meanConfidence }) => formatPercent(meanConfidence),
    align: 'right',
  },
];
