import type { Command } from 'commander';
import { type Column, formatPercent } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount, parseWhole } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Dataset } from '../datasets/dataset.ts';
import { writtenArchitecture } from '../ofa/architecture.ts';
import type { Backbone } from '../ofa/backbone.ts';
import {
  type FittedPredictor,
  fitPredictor,
  MIN_SAMPLES,
  type PredictorQuality,
} from '../predictor/fitted.ts';
import { collectSamples, type EvaluatedSample, plannedSamples } from '../samples/collect.ts';
import type { Cli } from './context.ts';
import { addCalibration, type CalibrationFlags, needCalibration, openCalibration } from './cut-options.ts';
import {
  addBackbone,
  addExamples,
  addLabels,
  type BackboneOptions,
  labelledOptions,
  loadBackbone,
  loadDataset,
  noteLabelOrder,
} from './options.ts';
import { checkOutputs, writeOutput } from './output.ts';
import { withWork } from './work.ts';

/** Kendall's tau below which an order says little. */
const WEAK_TAU = 0.3;

interface FitOptions extends BackboneOptions, CalibrationFlags, OutputOptions {
  readonly data: string;
  readonly labels?: string;
  readonly samples: string;
  readonly int8Samples: string;
  readonly seed: string;
  readonly frame?: string;
  readonly out: string;
  readonly work?: string;
}

/** `predictor fit`. */
export function addPredictorCommands(program: Command, cli: Cli): void {
  const predictor = program.command('predictor').description("Prediction of sub-networks' accuracy.");
  const command = addLabels(addCalibration(addBackbone(predictor.command('fit'))))
    .description('Calibrate and evaluate sample sub-networks, and fit a predictor to them.')
    .requiredOption('--data <data>', 'labelled images to evaluate on: not those of the final test')
    .requiredOption('--out <file>', 'predictor to write, with its samples')
    .option('--samples <n>', 'fp32 sub-networks', '100')
    .option('--int8-samples <n>', 'int8 sub-networks', '0')
    .option('--seed <n>', 'of the choice', '1')
    .option('--frame <HxW>', "size of the frames; default the backbone's own")
    .option('--work <file>', 'journal of what is done so far; default beside --out')
    .action((options: FitOptions) => cli.stoppable((signal) => fitCommand(cli, options, signal)));
  addExamples(
    addOutput(command),
    'predictor fit --backbone mine.safetensors --calibration train --data held-out --samples 120 --out predictor.json',
  );
}

async function fitCommand(cli: Cli, options: FitOptions, signal: AbortSignal): Promise<void> {
  needCalibration(options);
  await checkOutputs(options.out);
  const backbone = await loadBackbone(options);
  const calibration = await openCalibration(backbone, options, options.frame, signal, cli.note);
  const data = await loadDataset(options.data, await labelledOptions(backbone, options, signal));
  noteLabelOrder(cli, data);
  const choices = plannedSamples(backbone.space, {
    counts: {
      fp32: parseCount(options.samples, '--samples'),
      int8: parseWhole(options.int8Samples, '--int8-samples'),
    },
    seed: parseWhole(options.seed, '--seed'),
  });
  if (choices.length < MIN_SAMPLES) {
    throw new AppError('usage', `--samples: a predictor needs at least ${MIN_SAMPLES} sub-networks`);
  }
  const batchSize = parseCount(options.batchSize, '--batch-size');
  const progress = cli.progress('samples');
  const { quality } = await withWork(options.out, options.work, async (journal) => {
    const shop = { backbone, calibration, batchSize, journal, signal };
    const samples = await collectSamples(shop, choices, data, (done, what) =>
      progress.update(done, choices.length, what),
    );
    progress.done();
    const fitted = fitPredictor(backbone.space, samples);
    const file = predictorFile({ backbone, data, calibration, batchSize, samples, fitted });
    await writeOutput(options.out, `${JSON.stringify(file)}\n`);
    return fitted;
  });
  if ((quality.kendallTau ?? 0) < WEAK_TAU) {
    cli.note(
      `${options.out}: orders sub-networks hardly better than chance (Kendall's tau ${quality.kendallTau?.toFixed(2) ?? 'undefined'}): take more samples, or more images of --data`,
    );
  }
  cli.print({ rows: [quality], columns: COLUMNS, json: { file: options.out, ...quality } }, options.output);
}

interface Fitting {
  readonly backbone: Backbone;
  readonly data: Dataset;
  readonly calibration: Dataset;
  readonly batchSize: number;
  readonly samples: readonly EvaluatedSample[];
  readonly fitted: FittedPredictor;
}

/** What is written: the predictor, and what it was made of. */
function predictorFile({ backbone, data, calibration, batchSize, samples, fitted }: Fitting) {
  return {
    backbone: backbone.id,
    data: `${data.count} images of ${data.name}`,
    calibration: `${calibration.count} images of ${calibration.name}, ${batchSize} at a time`,
    fitted: fitted.file,
    samples: samples.map(({ architecture, precision, accuracy }) => ({
      architecture: writtenArchitecture(architecture),
      precision,
      accuracy,
    })),
  };
}

const COLUMNS: readonly Column<PredictorQuality>[] = [
  { head: 'SAMPLES', value: ({ samples }) => samples, align: 'right' },
  { head: 'RMSE', value: ({ rmse }) => rmse, text: ({ rmse }) => formatPercent(rmse), align: 'right' },
  { head: 'R2', value: ({ r2 }) => r2, text: ({ r2 }) => r2.toFixed(3), align: 'right' },
  {
    head: 'KENDALL',
    value: ({ kendallTau }) => kendallTau,
    text: ({ kendallTau }) => kendallTau?.toFixed(3) ?? '',
    align: 'right',
  },
];
