import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { sha256 } from '../../shared/files.ts';
import { backbonePath } from '../bundled.ts';
import { readCheckpoint } from '../checkpoint/read.ts';
import { extremeArchitecture } from '../ofa/architecture.ts';
import { type Backbone, backboneOf, writeBackbone } from '../ofa/backbone.ts';
import { costOf } from '../ofa/cost.ts';
import { supernetParameters } from '../ofa/layout.ts';
import { spaceParser, specOf } from '../ofa/space.ts';
import type { Cli } from './context.ts';
import { addBackbone, addExamples, type BackboneOptions, loadBackbone, readJson } from './options.ts';
import { checkOutputs, writeOutput } from './output.ts';

/** `backbone inspect|convert`. */
export function addBackboneCommands(program: Command, cli: Cli): void {
  const backbone = program.command('backbone').description('Weights of a super-network.');
  const inspectCommand = backbone
    .command('inspect')
    .argument('<file>', '.pth or .safetensors, or the name of a bundled backbone')
    .option('--space <file>', 'its search space as JSON, where the file does not say it itself')
    .description('Say what a file of weights holds, after checking all of it.')
    .action((file: string, options: InspectOptions) => inspect(cli, file, options));
  addExamples(addOutput(inspectCommand), 'backbone inspect ofa_mbv3_d234_e346_k357_w1.2');
  const convertCommand = addBackbone(backbone.command('convert'))
    .requiredOption('--out <file>', 'safetensors file to write')
    .description('Write weights as safetensors, with their search space.')
    .action((options: ConvertOptions) => convert(cli, options));
  addExamples(
    addOutput(convertCommand),
    'backbone convert --backbone ofa_mbv3_d234_e346_k357_w1.2 --out w1.2.safetensors',
  );
}

interface InspectOptions extends OutputOptions {
  readonly space?: string;
}

interface Fact {
  readonly name: string;
  readonly value: string;
}

const FACT_COLUMNS: readonly Column<Fact>[] = [
  { head: 'WHAT', value: ({ name }) => name },
  { head: 'VALUE', value: ({ value }) => value },
];

async function inspect(cli: Cli, file: string, options: InspectOptions): Promise<void> {
  const path = backbonePath(file);
  const checkpoint = await readCheckpoint(path);
  const stated = options.space === undefined ? {} : { space: await readJson(options.space, spaceParser()) };
  const backbone = backboneOf(checkpoint, { what: path, ...stated });
  const json = {
    file: path,
    format: checkpoint.format,
    bytes: checkpoint.bytes,
    sha256: checkpoint.sha256,
    ...describe(backbone),
    metadata: checkpoint.metadata,
  };
  cli.print({ rows: factsOf(json), columns: FACT_COLUMNS, json }, options.output);
}

function describe(backbone: Backbone) {
  const { space, tensors, id } = backbone;
  const extreme = (which: 'smallest' | 'largest') => costOf(space, extremeArchitecture(space, which));
  return {
    id,
    tensors: tensors.size,
    parameters: supernetParameters(space),
    smallest: extreme('smallest'),
    largest: extreme('largest'),
    space: specOf(space),
  };
}

type Description = ReturnType<typeof describe> & { file: string; format: string; bytes: number };

function factsOf({
  file,
  format,
  bytes,
  id,
  tensors,
  parameters,
  smallest,
  largest,
  space,
}: Description): Fact[] {
  const facts: Record<string, string | number> = {
    file,
    format: `${format}, ${bytes} bytes`,
    id,
    tensors,
    parameters,
    input: `${space.in_channels} channels, resolutions ${space.resolutions.join(' ')}`,
    widths: [space.first, space.first_block, ...space.widths, space.final_expand, space.last].join(' '),
    choices: `kernels ${space.ks.join(' ')}, expand ratios ${space.e.join(' ')}, depths ${space.d.join(' ')}`,
    classes: space.n_classes,
    smallest: `${smallest.parameters} parameters, ${smallest.macs} multiply-accumulates`,
    largest: `${largest.parameters} parameters, ${largest.macs} multiply-accumulates`,
  };
  return Object.entries(facts).map(([name, value]) => ({ name, value: String(value) }));
}

interface ConvertOptions extends BackboneOptions, OutputOptions {
  readonly out: string;
}

async function convert(cli: Cli, options: ConvertOptions): Promise<void> {
  await checkOutputs(options.out);
  const backbone = await loadBackbone(options);
  const bytes = writeBackbone(backbone);
  await writeOutput(options.out, bytes);
  const json = { file: options.out, bytes: bytes.length, sha256: sha256(bytes), id: backbone.id };
  const rows = Object.entries(json).map(([name, value]) => ({ name, value: String(value) }));
  cli.print({ rows, columns: FACT_COLUMNS, json }, options.output);
}
