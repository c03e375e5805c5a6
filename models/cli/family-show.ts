import { basename } from 'node:path';
import type { Command } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { AppError } from '../../shared/errors.ts';
import { type Family, readFamily } from '../../shared/family/read.ts';
import { standardErrorOf } from '../../shared/proportion.ts';
import { familyPath } from '../bundled.ts';
import type { PlotSeries } from '../plot/series.ts';
import { paretoSvg } from '../plot/svg.ts';
import { paretoText } from '../plot/terminal.ts';
import type { Cli } from './context.ts';
import { LEVEL_COLUMNS, levelRows } from './family-options.ts';
import { addExamples } from './options.ts';
import { checkOutputs, writeOutput } from './output.ts';

const DRAWING = { width: 72, height: 16 };

/** `family show`. */
export function addFamilyShow(family: Command, cli: Cli): void {
  const command = family
    .command('show')
    .argument('<folder>', 'a family, by its folder or bundled name')
    .description("Check a family's files, list its levels and draw accuracy against latency.")
    .action((folder: string, options: OutputOptions) => show(cli, folder, options));
  addExamples(addOutput(command), 'family show fashion-mnist');
}

async function show(cli: Cli, folder: string, options: OutputOptions): Promise<void> {
  const family = await readFamily(familyPath(folder));
  const { manifest, sha256 } = family;
  const json = { folder: family.folder, sha256, ...manifest };
  cli.print({ rows: levelRows(manifest.levels), columns: LEVEL_COLUMNS, json }, options.output);
  if (options.output !== 'table') return;
  if (isProfiled(family)) cli.write(`\n${paretoText([seriesOf(family)], DRAWING)}\n`);
  else cli.note('not drawn: its manifest states no latency; subnet profile --family measures it');
}

/** `family plot`. */
export function addFamilyPlot(family: Command, cli: Cli): void {
  const command = family
    .command('plot')
    .argument('<folders...>', 'families, by their folders or bundled names: each is a line of its own')
    .description('Draw accuracy against latency as an SVG.')
    .requiredOption('--out <file>', 'SVG file to write')
    .option('--title <text>', 'above the drawing')
    .action((folders: string[], options: PlotOptions) => plot(cli, folders, options));
  addExamples(addOutput(command), 'family plot cpu-family gpu-family --out families.svg');
}

interface PlotOptions extends OutputOptions {
  readonly out: string;
  readonly title?: string;
}

async function plot(cli: Cli, folders: readonly string[], options: PlotOptions): Promise<void> {
  const { out, title, output } = options;
  await checkOutputs(out);
  const series: PlotSeries[] = [];
  for (const folder of folders) {
    const family = await readFamily(familyPath(folder));
    if (!isProfiled(family)) {
      throw new AppError(
        'invalid',
        `${folder}: its manifest states no latency; build or import it to have one`,
      );
    }
    series.push(seriesOf(family));
  }
  const svg = paretoSvg(series, {
    title: title ?? 'Accuracy against latency',
    markers: { circle: 'fp32', square: 'int8' },
  });
  await writeOutput(out, svg);
  const json = { file: out, families: folders, levels: series.map(({ points }) => points.length) };
  cli.print({ rows: [json], columns: PLOT_COLUMNS, json }, output);
}

const PLOT_COLUMNS: readonly Column<{ file: string; levels: readonly number[] }>[] = [
  { head: 'FILE', value: ({ file }) => file },
  { head: 'LEVELS', value: ({ levels }) => levels.join('+'), align: 'right' },
];

function isProfiled({ manifest }: Family): boolean {
  return manifest.levels.every(({ latencyMs }) => latencyMs !== undefined);
}

function seriesOf({ manifest, folder }: Family): PlotSeries {
  return {
    name: `${manifest.name} ${manifest.version} (${basename(folder)})`,
    role: 'front',
    points: manifest.levels.map(
      ({ accuracy, accuracyImages: images, latencyMs = Number.NaN, precision }, index) => ({
        latencyMs,
        accuracy,
        ...(images === undefined
          ? {}
          : { standardError: standardErrorOf(Math.round(accuracy * images), images) }),
        label: String(index),
        marker: precision === 'int8' ? 'square' : 'circle',
      }),
    ),
  };
}
