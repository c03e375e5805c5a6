import type { Command } from 'commander';
import { type Column, formatPercent } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import {
  parseCount,
  parseCounts,
  parseDurationMs,
  parseFraction,
  parseWhole,
} from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { readWhole } from '../../shared/files.ts';
import { formatDurationMs } from '../../shared/units.ts';
import { bundledPredictor } from '../bundled.ts';
import { type FrontFile, type FrontPoint, writtenFront } from '../family/front-file.ts';
import { type LatencyTable, MAX_LATENCY_TABLE_BYTES, parseLatencyTable } from '../latency/table.ts';
import type { Architecture } from '../ofa/architecture.ts';
import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';
import { paretoText } from '../plot/terminal.ts';
import { publishedPath } from '../reference.ts';
import type { Restriction } from '../search/genome.ts';
import { selectLevels } from '../search/levels.ts';
import { DEFAULT_EVALUATIONS, searchFront } from '../search/search.ts';
import type { Cli } from './context.ts';
import { addExamples, loadSpace } from './options.ts';
import { checkOutputs, writeOutput } from './output.ts';
import { openPredictor } from './predictors.ts';

/** Rows of a front that a table for people has; `--out`, JSON and CSV have all points. */
const SHOWN_POINTS = 12;
const DRAWING = { width: 72, height: 14 };

interface SearchCommandOptions extends OutputOptions {
  readonly space: string;
  readonly predictor?: string;
  readonly continuousResolution?: true;
  readonly latencyTable: string;
  readonly int8LatencyTable?: string;
  readonly correction: boolean;
  readonly seed: string;
  readonly evaluations: string;
  readonly maxLatency?: string;
  readonly minAccuracy?: string;
  readonly kernels?: string;
  readonly expand?: string;
  readonly depths?: string;
  readonly resolutions?: string;
  readonly out?: string;
}

/** `search`. */
export function addSearchCommand(program: Command, cli: Cli): void {
  const command = program
    .command('search')
    .description('Find the best trade-offs of accuracy and latency of a search space, all in one run.')
    .requiredOption(
      '--latency-table <file>',
      'what layers take on the device; or the published tables jetson, jetson_GPU',
    )
    .option('--int8-latency-table <file>', 'the same of int8 layers: then precision is searched too')
    .option('--space <name>', 'a known space, a JSON file, or a file of weights', 'fashion-mnist')
    .option('--predictor <file>', "of accuracy; or published; default the bundled backbone's")
    .option(
      '--continuous-resolution',
      'interpolate the published predictor between the resolutions that it can tell apart',
    )
    .option('--no-correction', "leave the tables' corrections for whole networks out")
    .option('--seed <n>', 'the same seed finds the same', '1')
    .option('--evaluations <n>', 'predictions at the most', String(DEFAULT_EVALUATIONS))
    .option('--max-latency <duration>', 'nothing slower')
    .option('--min-accuracy <share>', 'nothing less accurate, as predicted')
    .option('--kernels <list>', 'only these kernel sizes, for example 3,5')
    .option('--expand <list>', 'only these expand ratios')
    .option('--depths <list>', 'only these depths')
    .option('--resolutions <list>', "only these resolutions; default all of the tables'")
    .option('--out <file>', 'keep the front: what family build takes')
    .action((options: SearchCommandOptions) => cli.stoppable((signal) => search(cli, options, signal)));
  addExamples(
    addOutput(command),
    'search --latency-table my-device.json --out front.json',
    'search --space ofa_mbv3_d234_e346_k357_w1.2 --predictor published --latency-table jetson_GPU --max-latency 26ms',
  );
}

async function search(cli: Cli, options: SearchCommandOptions, signal: AbortSignal): Promise<void> {
  await checkOutputs(options.out);
  const space = await loadSpace(options.space);
  const tables = await loadTables(cli, options);
  const restrict = restrictionOf(space, Object.values(tables), options);
  await using predictor = await openPredictor(cli.env, space, {
    named: options.predictor ?? bundledPredictor(options.space),
    continuousResolution: options.continuousResolution === true,
    resolutions: restrict.r ?? space.resolutions,
  });
  if (options.predictor !== undefined && predictor.backbone !== undefined) {
    cli.note(
      `${options.predictor}: foretells sub-networks of the backbone with the id ${predictor.backbone}`,
    );
  }
  const progress = cli.progress('search');
  const front = await searchFront({
    space,
    predictor,
    latency: tables,
    correct: options.correction,
    seed: parseWhole(options.seed, '--seed'),
    evaluations: parseCount(options.evaluations, '--evaluations'),
    constraints: constraintsOf(options),
    restrict,
    onProgress: ({ evaluations, of }) => progress.update(evaluations, of),
    signal,
  });
  progress.done();
  const file: FrontFile = {
    points: front.points.map(({ candidate, accuracy, latencyMs }) => ({ ...candidate, accuracy, latencyMs })),
    provenance: provenanceOf(options, predictor.name, front.evaluations, tables),
  };
  if (file.points.length === 0) {
    throw new AppError('not-found', 'search: no sub-network is within the limits');
  }
  const json = writtenFront(file);
  if (options.out !== undefined) await writeOutput(options.out, `${JSON.stringify(json)}\n`);
  const { points } = file;
  const rows = options.output === 'table' ? selectLevels(points, SHOWN_POINTS) : points;
  cli.print({ rows, columns: columnsOf(space), json }, options.output);
  if (options.output !== 'table') return;
  const count = points.length === 1 ? '1 point' : `${points.length} points`;
  const name = `${count} (${rows.length} shown above), ${front.evaluations} predictions`;
  cli.write(`\n${paretoText([{ name, role: 'front', points }], DRAWING)}\n`);
}

type Tables = Readonly<Partial<Record<Precision, LatencyTable>>>;

async function loadTables(cli: Cli, options: SearchCommandOptions): Promise<Tables> {
  const load = async (named: string): Promise<LatencyTable> => {
    const path = publishedPath('table', named, cli.env);
    return parseLatencyTable(new TextDecoder().decode(await readWhole(path, MAX_LATENCY_TABLE_BYTES)), path);
  };
  const fp32 = await load(options.latencyTable);
  if (options.int8LatencyTable === undefined) return { fp32 };
  return { fp32, int8: await load(options.int8LatencyTable) };
}

/** What the options narrow the space to, and no resolution that a table does not have. */
function restrictionOf(
  space: SearchSpace,
  tables: readonly LatencyTable[],
  options: SearchCommandOptions,
): Restriction {
  const numbers = (text: string | undefined, what: string): number[] | undefined =>
    text === undefined ? undefined : parseCounts(text, what);
  const measured = space.resolutions.filter((r) => tables.every((table) => table.resolutions.has(r)));
  if (measured.length === 0) {
    throw new AppError(
      'invalid',
      `--latency-table: is of another search space: it has none of the resolutions ${space.resolutions.join(', ')}`,
    );
  }
  const chosen = {
    ks: numbers(options.kernels, '--kernels'),
    e: numbers(options.expand, '--expand'),
    d: numbers(options.depths, '--depths'),
    r: numbers(options.resolutions, '--resolutions') ?? measured,
  };
  return Object.fromEntries(Object.entries(chosen).filter(([, values]) => values !== undefined));
}

function constraintsOf({ maxLatency, minAccuracy }: SearchCommandOptions) {
  return {
    ...(maxLatency === undefined ? {} : { maxLatencyMs: parseDurationMs(maxLatency, '--max-latency') }),
    ...(minAccuracy === undefined ? {} : { minAccuracy: parseFraction(minAccuracy, '--min-accuracy') }),
  };
}

function provenanceOf(
  options: SearchCommandOptions,
  predictor: string,
  evaluations: number,
  tables: Tables,
): Record<string, string> {
  const devices = Object.entries(tables).map(([precision, { device }]) => `${device} (${precision})`);
  return {
    search: `seed ${options.seed}, ${evaluations} predictions by ${predictor}, latency tables of ${devices.join(', ')}`,
  };
}

function columnsOf(space: SearchSpace): readonly Column<FrontPoint>[] {
  return [
    {
      head: 'LATENCY',
      value: ({ latencyMs }) => latencyMs,
      text: ({ latencyMs }) => formatDurationMs(latencyMs),
      align: 'right',
    },
    {
      head: 'ACCURACY',
      value: ({ accuracy }) => accuracy,
      text: ({ accuracy }) => formatPercent(accuracy),
      align: 'right',
    },
    { head: 'PRECISION', value: ({ precision }) => precision },
    { head: 'R', value: ({ architecture }) => architecture.r, align: 'right' },
    { head: 'DEPTHS', value: ({ architecture }) => architecture.d.join('') },
    { head: 'KERNELS', value: ({ architecture }) => ofBlocks(space, architecture, 'ks') },
    { head: 'EXPAND', value: ({ architecture }) => ofBlocks(space, architecture, 'e') },
  ];
}

/** The entries of the blocks that run, stage by stage: `35-777` for depths 2 and 3. */
function ofBlocks(space: SearchSpace, { d, ...each }: Architecture, key: 'ks' | 'e'): string {
  const perStage = blocksPerStage(space);
  return d
    .map((depth, stage) => each[key].slice(stage * perStage, stage * perStage + depth).join(''))
    .join('-');
}
