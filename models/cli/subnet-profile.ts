import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount, parseDurationMs, parseWhole } from '../../shared/cli/values.ts';
import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import { modelPath, readFamily } from '../../shared/family/read.ts';
import { formatDurationMs } from '../../shared/units.ts';
import { familyPath } from '../bundled.ts';
import { type Profile, profileModels } from '../profile/profile.ts';
import type { ModelToProfile } from '../profile/protocol.ts';
import { checkProvider, parseProviders } from '../profile/provider.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';

interface ProfileOptions extends OutputOptions {
  readonly family?: string;
  readonly pe: string;
  readonly rounds: string;
  readonly warmUp: string;
  readonly threads: string;
  readonly period?: string;
}

/** `subnet profile`. */
export function addSubnetProfile(subnet: Command, cli: Cli): void {
  const command = subnet
    .command('profile')
    .argument('[models...]', 'ONNX files')
    .description('Measure latency, memory and energy of models on this machine, in turn.')
    .option('--family <folder>', 'every level of a family, by its folder or bundled name')
    .option('--pe <list>', 'processing elements: cpu, cuda (also gpu), tensorrt; for example cpu,cuda', 'cpu')
    .option('--rounds <n>', 'measured runs of each model', '200')
    .option('--warm-up <n>', 'rounds before them', '20')
    .option('--threads <n>', 'threads of ONNX Runtime', '1')
    .option('--period <duration>', 'one inference per so long, as a camera asks; default one after the other')
    .action((models: string[], options: ProfileOptions) =>
      cli.stoppable((signal) => profile(cli, models, options, signal)),
    );
  addExamples(
    addOutput(command),
    'subnet profile net-1.onnx net-2.onnx --rounds 500',
    'subnet profile --family fashion-mnist --period 50ms -o json',
  );
}

async function profile(
  cli: Cli,
  files: readonly string[],
  options: ProfileOptions,
  signal: AbortSignal,
): Promise<void> {
  const numbers = {
    rounds: parseCount(options.rounds, '--rounds'),
    warmUp: parseWhole(options.warmUp, '--warm-up'),
    threads: parseCount(options.threads, '--threads'),
    ...(options.period === undefined ? {} : { periodMs: parseDurationMs(options.period, '--period') }),
  };
  const providers = parseProviders(options.pe, '--pe');
  const named = await modelsOf(files, options);
  const [only, ...others] = providers;
  if (only !== undefined && others.length === 0) await checkProvider(only, { clock: cli.clock, signal });
  const progress = cli.progress('profile');
  const report = await profileModels({
    models: providers.flatMap((pe) => named.map((model) => ({ ...model, pe }))),
    ...numbers,
    clock: cli.clock,
    signal,
    onProgress: (done, total, text) => progress.update(done, total, text),
  });
  progress.done();
  cli.print({ rows: report.profiles, columns: COLUMNS, json: report }, options.output);
  for (const note of notesOf(report.profiles, options.output)) cli.note(note);
}

/** What the figures do not say, each once: what keeps one model from a processing element mostly keeps all. */
function notesOf(profiles: readonly Profile[], output: OutputOptions['output']): string[] {
  const notes = profiles.flatMap((profile) => {
    if (!profile.available) {
      return [`${profile.pe}: ${profile.reason.replace(`${profile.name} on ${profile.pe}: `, '')}`];
    }
    // CSV and JSON are for programs; JSON has the reason.
    return output === 'table' && profile.energyReason !== undefined
      ? [`no energy: ${profile.energyReason}`]
      : [];
  });
  return [...new Set(notes)];
}

async function modelsOf(
  files: readonly string[],
  { family }: ProfileOptions,
): Promise<Pick<ModelToProfile, 'name' | 'path'>[]> {
  for (const path of files) await checkFile(path);
  const named = files.map((path) => ({ name: path, path }));
  if (family !== undefined) {
    const { folder, manifest } = await readFamily(familyPath(family));
    named.push(
      ...manifest.levels.map((level, index) => ({ name: `level ${index}`, path: modelPath(folder, level) })),
    );
  }
  if (named.length === 0) throw new AppError('usage', 'name at least one ONNX file, or --family');
  return named;
}

async function checkFile(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    if (isSystemError(cause, 'ENOENT'))
      throw new AppError('not-found', `${path}: there is no such file`, { cause });
    throw new AppError('system', `${path}: ${describeError(cause)}`, { cause });
  });
  if (!found.isFile()) throw new AppError('invalid', `${path}: expected a file`);
}

function measured<T>(
  pick: (profile: Extract<Profile, { available: true }>) => T,
): (row: Profile) => T | null {
  return (row) => (row.available ? pick(row) : null);
}

function latency(head: string, key: 'p50' | 'p95' | 'p99'): Column<Profile> {
  return {
    head,
    value: measured(({ latencyMs }) => latencyMs[key]),
    text: (row) => (row.available ? formatDurationMs(row.latencyMs[key]) : ''),
    align: 'right',
  };
}

const COLUMNS: readonly Column<Profile>[] = [
  { head: 'MODEL', value: ({ name }) => name },
  { head: 'PE', value: ({ pe }) => pe },
  latency('P50', 'p50'),
  latency('P95', 'p95'),
  latency('P99', 'p99'),
  {
    head: 'CREATE',
    value: measured(({ createMs }) => createMs),
    text: (row) => (row.available ? formatDurationMs(row.createMs) : ''),
    align: 'right',
  },
  {
    head: 'MEMORY',
    value: measured(({ memory }) => memory.residentBytes),
    text: (row) => (row.available ? `${(row.memory.residentBytes / 2 ** 20).toFixed(1)} MiB` : ''),
    align: 'right',
  },
  {
    head: 'ENERGY',
    value: measured(({ energyJ }) => energyJ),
    text: (row) =>
      row.available && row.energyJ !== null ? `${Number((row.energyJ * 1e3).toPrecision(3))} mJ` : '',
    align: 'right',
  },
];
