import { type Command, Option } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { sha256 } from '../../shared/files.ts';
import { writtenArchitecture } from '../ofa/architecture.ts';
import { costOf } from '../ofa/cost.ts';
import { cutModel } from '../ofa/cut.ts';
import { encodeRecipe } from '../ofa/recipe.ts';
import type { Cli } from './context.ts';
import { addCut, type CutOptions, prepareCut } from './cut-options.ts';
import { addExamples } from './options.ts';
import { checkOutputs, writeOutput } from './output.ts';

interface ExportOptions extends CutOptions, OutputOptions {
  readonly input: 'float32' | 'uint8';
  readonly out: string;
  readonly writeRecipe?: string;
}

/** `subnet export`. */
export function addSubnetExport(subnet: Command, cli: Cli): void {
  const command = addCut(subnet.command('export'))
    .description('Cut a sub-network out of a backbone, as an ONNX file.')
    .addOption(
      new Option(
        '--input <form>',
        'uint8: frames [1,H,W,C], resized and normalised inside; float32: [N,C,r,r], normalised already',
      )
        .choices(['float32', 'uint8'])
        .default('uint8'),
    )
    .requiredOption('--out <file>', 'ONNX file to write')
    .option('--write-recipe <file>', 'keep the recipe: what this cut needs beside the backbone')
    .action((options: ExportOptions) => cli.stoppable((signal) => exportSubnet(cli, options, signal)));
  addExamples(
    addOutput(command),
    'subnet export --backbone fashion-mnist --arch arch.json --input float32 --out net.onnx',
    'subnet export --backbone fashion-mnist --arch largest --calibration fashion-mnist-calibration --out net.onnx',
  );
}

async function exportSubnet(cli: Cli, options: ExportOptions, signal: AbortSignal): Promise<void> {
  await checkOutputs(options.out, options.writeRecipe);
  const { backbone, recipe, calibrated } = await prepareCut(cli, options, signal);
  const model = cutModel(backbone, recipe, options.input === 'float32' ? { type: 'float32' } : undefined);
  if (!calibrated) {
    cli.note("batch-norm statistics are the backbone's own; --calibration DATA recomputes them");
  }
  await writeOutput(options.out, model);
  if (options.writeRecipe !== undefined) await writeOutput(options.writeRecipe, encodeRecipe(recipe));
  const { macs, parameters } = costOf(backbone.space, recipe.architecture);
  const json = {
    file: options.out,
    bytes: model.length,
    sha256: sha256(model),
    architecture: writtenArchitecture(recipe.architecture),
    input: options.input,
    precision: recipe.quantisation === undefined ? 'fp32' : 'int8',
    calibrated,
    macs,
    parameters,
  };
  cli.print({ rows: [json], columns: COLUMNS, json }, options.output);
}

interface Row {
  readonly file: string;
  readonly bytes: number;
  readonly precision: string;
  readonly calibrated: boolean;
  readonly macs: number;
  readonly parameters: number;
  readonly sha256: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { head: 'FILE', value: ({ file }) => file },
  { head: 'BYTES', value: ({ bytes }) => bytes, align: 'right' },
  { head: 'PRECISION', value: ({ precision }) => precision },
  { head: 'CALIBRATED', value: ({ calibrated }) => (calibrated ? 'yes' : 'no') },
  { head: 'MACS', value: ({ macs }) => macs, align: 'right' },
  { head: 'PARAMETERS', value: ({ parameters }) => parameters, align: 'right' },
  { head: 'SHA256', value: ({ sha256: hash }) => hash, text: ({ sha256: hash }) => hash.slice(0, 12) },
];
