import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { formatPercent } from '../../shared/cli/format.ts';
import { parseCount } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import type { Level } from '../../shared/family/manifest.ts';
import { isId } from '../../shared/protocol/ids.ts';
import { formatDurationMs } from '../../shared/units.ts';
import { spanOf } from '../family/measure.ts';
import type { ProfileSettings } from '../family/profile.ts';
import { checkTarget } from '../family/write.ts';
import { checkProvider, parseProvider } from '../profile/provider.ts';
import type { Cli } from './context.ts';
import { addLabels } from './options.ts';

/** The options of commands that write a family. */
export interface WriteOptions {
  readonly out: string;
  readonly name: string;
  readonly familyVersion?: string;
  readonly labels?: string;
  readonly data: string;
  readonly pe: string;
  readonly rounds: string;
  readonly threads: string;
  readonly replace?: true;
  readonly work?: string;
}

/** Adds what commands have that write a family. */
export function addFamilyWriting(command: Command): Command {
  return addLabels(command)
    .requiredOption('--data <data>', 'labelled images that the accuracy of the levels is stated on')
    .requiredOption('--out <folder>', 'where the family is written')
    .requiredOption('--name <name>', "the family's name")
    .option(
      '--family-version <n>',
      'version of the family; default one above that of the family that is replaced',
    )
    .option('--pe <name>', 'processing element to measure latency on: cpu, cuda (or gpu), tensorrt', 'cpu')
    .option('--rounds <n>', 'measured runs of each model', '200')
    .option('--threads <n>', 'threads of ONNX Runtime', '1')
    .option('--replace', 'write over a family that is there')
    .option('--work <file>', 'journal of what is done so far; default beside --out');
}

/** @throws AppError `usage` when a family cannot have this name */
export function familyName(name: string): string {
  if (isId(name)) return name;
  throw new AppError('usage', `--name: '${name}' is not a name; names are of a-z, 0-9 and -, at most 63`);
}

/** Checks where the family is to be written and measured, before long work; the version that it is to have. */
export async function familyTarget(
  cli: Cli,
  { out, replace, familyVersion, pe }: WriteOptions,
  signal: AbortSignal,
): Promise<number> {
  await checkProvider(parseProvider(pe, '--pe'), { clock: cli.clock, signal });
  return await checkTarget({
    folder: out,
    replace: replace === true,
    ...(familyVersion === undefined ? {} : { version: parseCount(familyVersion, '--family-version') }),
  });
}

/** How latency is measured. */
export function profileSettings(cli: Cli, options: WriteOptions, signal: AbortSignal): ProfileSettings {
  const progress = cli.progress('profile');
  return {
    pe: parseProvider(options.pe, '--pe'),
    rounds: parseCount(options.rounds, '--rounds'),
    threads: parseCount(options.threads, '--threads'),
    clock: cli.clock,
    signal,
    onProgress: (done, total, text) => {
      progress.update(done, total, text);
      if (done === total) progress.done();
    },
  };
}

/** A level as tables show it. */
export interface LevelRow extends Level {
  readonly index: number;
}

/** Rows of a family's levels. */
export function levelRows(levels: readonly Level[]): LevelRow[] {
  return levels.map((level, index) => ({ ...level, index }));
}

export const LEVEL_COLUMNS: readonly Column<LevelRow>[] = [
  { head: 'LEVEL', value: ({ index }) => index, align: 'right' },
  {
    head: 'ACCURACY',
    value: ({ accuracy }) => accuracy,
    text: ({ accuracy }) => formatPercent(accuracy),
    align: 'right',
  },
  {
    head: 'LATENCY',
    value: ({ latencyMs }) => latencyMs,
    text: ({ latencyMs }) => (latencyMs === undefined ? '' : formatDurationMs(latencyMs)),
    align: 'right',
  },
  {
    head: 'MACS',
    value: ({ macs }) => macs,
    text: ({ macs }) => `${(macs / 1e6).toFixed(2)}M`,
    align: 'right',
  },
  { head: 'PRECISION', value: ({ precision }) => precision ?? 'fp32' },
  { head: 'KERNELS', value: ({ architecture }) => choicesOf(architecture?.ks) },
  { head: 'EXPAND', value: ({ architecture }) => choicesOf(architecture?.e) },
  { head: 'DEPTHS', value: ({ architecture }) => architecture?.d.join('') },
  { head: 'R', value: ({ architecture }) => architecture?.r[0], align: 'right' },
  {
    head: 'SIZE',
    value: ({ model }) => model.bytes,
    text: ({ model }) => `${(model.bytes / 2 ** 20).toFixed(2)} MiB`,
    align: 'right',
  },
  {
    head: 'RECIPE',
    value: ({ recipe }) => recipe?.bytes,
    text: ({ recipe }) => (recipe === undefined ? '' : `${(recipe.bytes / 1024).toFixed(0)} KiB`),
    align: 'right',
  },
];

/** An imported level has no architecture, and one of an empty architecture no choices. */
function choicesOf(values: readonly number[] | undefined): string | undefined {
  return values === undefined || values.length === 0 ? undefined : spanOf(values);
}
