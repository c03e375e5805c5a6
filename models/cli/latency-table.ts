import { hostname } from 'node:os';
import { type Command, Option } from 'commander';
import { type Column, formatPercent } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount, parseCounts, parseWhole } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { readWhole } from '../../shared/files.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';
import { type BuildOptions, buildTable } from '../latency/build.ts';
import { checkTable, MIN_NETWORKS, type TableCheck } from '../latency/check.ts';
import { sampleArchitectures } from '../latency/sample.ts';
import {
  type LatencyTable,
  latencyTableFile,
  MAX_LATENCY_TABLE_BYTES,
  parseLatencyTable,
} from '../latency/table.ts';
import type { Backbone } from '../ofa/backbone.ts';
import { checkProvider, parseProvider } from '../profile/provider.ts';
import type { Cli } from './context.ts';
import { addBackbone, addExamples, type BackboneOptions, frameShape, loadBackbone } from './options.ts';
import { checkOutputs, writeOutput } from './output.ts';

import { withWork } from './work.ts';

/** Above this, other work on the device took so much that a table says little. */
const MUCH_DISTURBED = 1.2;

interface MeasureOptions extends BackboneOptions, OutputOptions {
  readonly pe: string;
  readonly precision: Precision;
  readonly threads: string;
  readonly rounds: string;
  readonly seed: string;
  readonly frame?: string;
}

interface BuildCommandOptions extends MeasureOptions {
  readonly out: string;
  readonly device: string;
  readonly resolutions?: string;
  readonly check: string;
  readonly work?: string;
}

/** `latency-table build|check`. */
export function addLatencyTableCommands(program: Command, cli: Cli): void {
  const table = program
    .command('latency-table')
    .description('What each layer of a search space takes on this device.');
  const buildCommand = addMeasuring(table.command('build'))
    .description('Measure a table, check it against whole networks, and fit its correction to them.')
    .requiredOption('--out <file>', 'table to write, in the form that Dynamic-OFA publishes its own')
    .option('--device <name>', 'what the table calls this device', hostname())
    .option('--resolutions <list>', "for example 160,192; default all of the space's")
    .option(
      '--check <n>',
      `whole networks to check it against: 0 for none, or at least ${MIN_NETWORKS}`,
      '40',
    )
    .option('--work <file>', 'journal of what is done so far; default beside --out')
    .action((options: BuildCommandOptions) => cli.stoppable((signal) => build(cli, options, signal)));
  addExamples(
    addOutput(buildCommand),
    'latency-table build --out orin-cpu.json',
    'latency-table build --backbone w1.2.safetensors --resolutions 160,192,224 --pe cuda --out orin-gpu.json',
  );
  const checkCommand = addMeasuring(table.command('check'))
    .argument('<table>', 'a table that was measured on this device')
    .description('Compare what a table predicts with whole networks, measured now.')
    .option('--networks <n>', 'how many', '40')
    .action((file: string, options: MeasureOptions & { networks: string }) =>
      cli.stoppable((signal) => check(cli, file, options, signal)),
    );
  addExamples(addOutput(checkCommand), 'latency-table check orin-cpu.json --networks 60 --seed 2');
}

function addMeasuring(command: Command): Command {
  return addBackbone(command)
    .option('--pe <name>', 'processing element: cpu, or cuda (also gpu)', 'cpu')
    .addOption(new Option('--precision <name>', 'of the layers').choices(['fp32', 'int8']).default('fp32'))
    .option('--threads <n>', 'threads of ONNX Runtime', '1')
    .option('--rounds <n>', 'turns of each layer and network', '120')
    .option('--seed <n>', 'of the random weights and of the networks', '1')
    .option('--frame <HxW>', "size of the frames; default the backbone's own");
}

type Measuring = Pick<
  BuildOptions,
  'clock' | 'form' | 'precision' | 'processingElement' | 'rounds' | 'seed' | 'signal' | 'space' | 'threads'
>;

async function measuringOf(
  cli: Cli,
  { space }: Backbone,
  options: MeasureOptions,
  signal: AbortSignal,
): Promise<Measuring> {
  const [height, width] = frameShape(space, options.frame);
  const measuring = {
    space,
    processingElement: processingElementOf(options.pe),
    precision: options.precision,
    form: { type: 'uint8', frame: [height, width], batch: 1 },
    threads: parseCount(options.threads, '--threads'),
    rounds: parseCount(options.rounds, '--rounds'),
    seed: parseWhole(options.seed, '--seed'),
    clock: cli.clock,
    signal,
  } as const;
  await checkProvider(parseProvider(options.pe, '--pe'), { clock: cli.clock, signal });
  return measuring;
}

function processingElementOf(text: string): ProcessingElement {
  const provider = parseProvider(text, '--pe');
  if (provider === 'cpu') return 'cpu';
  if (provider === 'cuda') return 'gpu';
  throw new AppError(
    'usage',
    `--pe: layers are measured one by one with cpu or cuda; ${provider} makes one of several`,
  );
}

/** How many networks to measure, `MIN_NETWORKS` or more. */
function parseNetworks(text: string, what: string): number {
  const networks = parseCount(text, what);
  if (networks >= MIN_NETWORKS) return networks;
  throw new AppError('usage', `${what}: ${networks} networks say too little, at least ${MIN_NETWORKS} do`);
}

async function build(cli: Cli, options: BuildCommandOptions, signal: AbortSignal): Promise<void> {
  await checkOutputs(options.out);
  const backbone = await loadBackbone(options);
  const measuring = await measuringOf(cli, backbone, options, signal);
  const { resolutions: all } = backbone.space;
  const resolutions =
    options.resolutions === undefined ? all : parseCounts(options.resolutions, '--resolutions');
  const networks = options.check === '0' ? 0 : parseNetworks(options.check, '--check');
  const { table, checked } = await withWork(options.out, options.work, async (journal) => {
    const table = await measureLayers(cli, { ...measuring, resolutions, device: options.device, journal });
    const checked =
      networks === 0 ? undefined : await compare(cli, { table, backbone, measuring, networks, resolutions });
    const written = checked?.correction === undefined ? table : { ...table, correction: checked.correction };
    await writeOutput(options.out, `${JSON.stringify(latencyTableFile(written), null, 1)}\n`);
    return { table, checked };
  });
  const layers = [...table.resolutions.values()].reduce((sum, { size }) => sum + size, 0);
  const json = { file: options.out, device: table.device, resolutions, layers, ...summaryOf(checked) };
  cli.print({ rows: [json], columns: [...BUILD_COLUMNS, ...CHECK_COLUMNS], json }, options.output);
}

async function measureLayers(cli: Cli, options: BuildOptions): Promise<LatencyTable> {
  const progress = cli.progress('layers');
  const table = await buildTable({
    ...options,
    onProgress: (done, total, text) => progress.update(done, total, text),
  });
  progress.done();
  return table;
}

interface Comparison {
  readonly table: LatencyTable;
  readonly backbone: Backbone;
  readonly measuring: Measuring;
  readonly networks: number;
  readonly resolutions: readonly number[];
}

async function compare(
  cli: Cli,
  { table, backbone, measuring, networks, resolutions }: Comparison,
): Promise<TableCheck> {
  const { space } = backbone;
  const architectures = sampleArchitectures(space, { resolutions, count: networks, seed: measuring.seed });
  const progress = cli.progress('networks');
  const checked = await checkTable({
    ...measuring,
    table,
    backbone,
    architectures,
    onProgress: (done, total) => progress.update(done, total),
  });
  progress.done();
  if (checked.disturbance > MUCH_DISTURBED) {
    cli.note(
      `other work on this device made networks ${checked.disturbance.toFixed(2)} times slower while they were measured: repeat it when the device is quiet`,
    );
  }
  if (checked.correction === undefined) {
    cli.note(
      'no correction could be fitted: the times of whole networks do not rise with the sums of their layers; sums are used as they are',
    );
  }
  return checked;
}

async function check(
  cli: Cli,
  file: string,
  options: MeasureOptions & { networks: string },
  signal: AbortSignal,
): Promise<void> {
  const text = new TextDecoder().decode(await readWhole(file, MAX_LATENCY_TABLE_BYTES));
  const table = parseLatencyTable(text, file);
  const networks = parseNetworks(options.networks, '--networks');
  const backbone = await loadBackbone(options);
  const resolutions = backbone.space.resolutions.filter((side) => table.resolutions.has(side));
  if (resolutions.length === 0) {
    const own = backbone.space.resolutions.join(', ');
    throw new AppError(
      'invalid',
      `${file}: is of another search space: it has none of the resolutions ${own}`,
    );
  }
  const checked = await compare(cli, {
    table,
    backbone,
    measuring: await measuringOf(cli, backbone, options, signal),
    networks,
    resolutions,
  });
  const json = { ...checked, ...summaryOf(checked) };
  cli.print({ rows: [summaryOf(checked)], columns: CHECK_COLUMNS, json }, options.output);
}

interface Summary {
  readonly networks?: number;
  readonly spearman?: number;
  readonly kendall?: number;
  readonly error?: TableCheck['error'];
  readonly correctedError?: TableCheck['error'];
  readonly disturbance?: number;
}

function summaryOf(checked: TableCheck | undefined): Summary {
  if (checked === undefined) return {};
  const { networks, spearman, kendall, error, correctedError, disturbance } = checked;
  return {
    networks: networks.length,
    spearman,
    kendall,
    error,
    ...(correctedError === undefined ? {} : { correctedError }),
    disturbance,
  };
}

const BUILD_COLUMNS: readonly Column<{ file: string; layers: number }>[] = [
  { head: 'FILE', value: ({ file }) => file },
  { head: 'LAYERS', value: ({ layers }) => layers, align: 'right' },
];

const CHECK_COLUMNS: readonly Column<Summary>[] = [
  { head: 'NETWORKS', value: ({ networks }) => networks, align: 'right' },
  rank('SPEARMAN', 'spearman'),
  rank('KENDALL', 'kendall'),
  errorColumn('ERROR', 'error'),
  errorColumn('CORRECTED', 'correctedError'),
];

function rank(head: string, key: 'spearman' | 'kendall'): Column<Summary> {
  return {
    head,
    value: (summary) => summary[key],
    text: (summary) => summary[key]?.toFixed(3) ?? '',
    align: 'right',
  };
}

function errorColumn(head: string, key: 'error' | 'correctedError'): Column<Summary> {
  return {
    head,
    value: (summary) => summary[key]?.median,
    text: (summary) => formatPercent(summary[key]?.median),
    align: 'right',
  };
}
