import type { Command } from 'commander';
import { type Column, formatPercent } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount, parseFraction } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { writeAtomic } from '../../shared/files.ts';
import type { ImageShape } from '../../shared/images/decode.ts';
import { evaluateModel } from '../evaluate/evaluate.ts';
import type { Evaluation } from '../evaluate/tally.ts';
import { cutModel } from '../ofa/cut.ts';
import type { Cli } from './context.ts';
import { addCut, type CutOptions, prepareCut } from './cut-options.ts';
import { addExamples, loadDataset } from './options.ts';

interface EvaluateOptions extends CutOptions, OutputOptions {
  readonly model?: string;
  readonly data: string;
  readonly limit?: string;
  readonly crop?: string;
  readonly threads: string;
  readonly predictions?: string;
}

/** `subnet evaluate`. */
export function addSubnetEvaluate(subnet: Command, cli: Cli): void {
  const command = addCut(subnet.command('evaluate'))
    .description("Measure a sub-network's accuracy in ONNX Runtime, or that of an ONNX file.")
    .option('--model <file>', 'an ONNX file that takes frames, instead of --arch or --recipe')
    .requiredOption(
      '--data <data>',
      'labelled images: IMAGES,LABELS in IDX, a folder with one folder per class, a .csv of file,label, or a bundled name',
    )
    .option('--limit <n>', 'only the first so many images')
    .option(
      '--crop <share>',
      'crop decoded images to their centre before resizing, as ImageNet does with 0.875',
    )
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
  const { model, what, shape } = await modelOf(cli, options, signal);
  const dataset = await loadDataset(options.data, {
    ...(shape === undefined ? {} : { shape }),
    ...(options.crop === undefined ? {} : { crop: parseFraction(options.crop, '--crop') }),
    signal,
  });
  const progress = cli.progress('evaluation');
  const evaluation = await evaluateModel({
    model,
    what,
    dataset,
    threads: parseCount(options.threads, '--threads'),
    ...(options.limit === undefined ? {} : { limit: parseCount(options.limit, '--limit') }),
    onProgress: (done, total) => progress.update(done, total),
    signal,
  });
  progress.done();
  const { predictions, ...json } = evaluation;
  if (options.predictions !== undefined)
    await writeAtomic(options.predictions, `${predictions.join('\n')}\n`);
  cli.print(
    { rows: [evaluation], columns: COLUMNS, json: { model: what, data: dataset.name, ...json } },
    options.output,
  );
}

interface ModelToRun {
  readonly model: string | Uint8Array;
  readonly what: string;
  /** Of the frames that it takes, where we know it before it is loaded. */
  readonly shape?: ImageShape;
}

async function modelOf(cli: Cli, options: EvaluateOptions, signal: AbortSignal): Promise<ModelToRun> {
  if (options.model === undefined) {
    const { backbone, recipe } = await prepareCut(cli, options, signal);
    const shape = [...recipe.frame, backbone.space.inChannels] as const;
    return {
      model: cutModel(backbone, recipe),
      what: options.arch ?? options.recipe ?? '',
      shape: [...shape],
    };
  }
  if (options.arch !== undefined || options.recipe !== undefined) {
    throw new AppError('usage', 'give only one of --model, --arch and --recipe');
  }
  return { model: options.model, what: options.model };
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
