import { join } from 'node:path';
import { NativeChild } from '../../shared/native-child.ts';
import { siblingModule } from '../../shared/package.ts';
import { median } from '../../shared/statistics.ts';
import { type Figure, judged } from './report.ts';
import type { LoadMeasured, LoadTask } from './runtime-memory-child.ts';
import { type LargeFamily, largeFamily } from './runtime-memory-family.ts';

/** Processes of each kind; they take turns. Of times the least counts: other programs only add to it. */
const PROCESSES = 10;

const PSS_BAR = 0.65;
const WARM_BAR = 0.25;

/** What a family of seven levels costs in memory and at the start, in its lean form and as it is. */
export async function memoryFigures(): Promise<Figure[]> {
  return [...(await familyFigures()), ...(await recalibratedFigures())];
}

async function familyFigures(): Promise<Figure[]> {
  await using family = await largeFamily('common');
  const plainTask = plainTaskOf(family);
  const leanTask = leanTaskOf(family);
  const first = await measured(leanTask);
  const plain: LoadMeasured[] = [];
  const lean: LoadMeasured[] = [];
  for (let count = 0; count < PROCESSES; count += 1) {
    plain.push(await measured(plainTask));
    lean.push(await measured(leanTask));
  }
  const plainMs = Math.min(...plain.map(totalMs));
  const leanMs = Math.min(...lean.map(totalMs));
  const ratio = { unit: 'ratio', better: 'lower' } as const;
  return [
    judged({
      name: 'family_pss_ratio',
      value: pssRatio(lean, family),
      ...ratio,
      bar: PSS_BAR,
    }),
    {
      name: 'family_pss_ratio_plain',
      value: pssRatio(plain, family),
      ...ratio,
    },
    judged({
      name: 'family_warm_ratio',
      value: leanMs / plainMs,
      ...ratio,
      bar: WARM_BAR,
    }),
    {
      name: 'family_warm_ratio_first_start',
      value: totalMs(first) / plainMs,
      ...ratio,
    },
    {
      name: 'family_first_answers_ratio',
      value: Math.min(...lean.map(firstAnswersMs)) / Math.min(...plain.map(firstAnswersMs)),
      ...ratio,
    },
    { name: 'family_warm_ms', value: leanMs, unit: 'ms', better: 'lower' },
    {
      name: 'family_warm_ms_plain',
      value: plainMs,
      unit: 'ms',
      better: 'lower',
    },
  ];
}

/** Of levels that were calibrated each by itself: they have fewer weights in common. */
async function recalibratedFigures(): Promise<Figure[]> {
  await using family = await largeFamily('own');
  const task = leanTaskOf(family);
  await measured(task);
  const again = await measured(task);
  return [
    {
      name: 'family_recalibrated_pss_ratio',
      value: pssRatio([again], family),
      unit: 'ratio',
      better: 'lower',
    },
  ];
}

function plainTaskOf({ models, tiny }: LargeFamily): LoadTask {
  return { models, tiny };
}

function leanTaskOf(family: LargeFamily): LoadTask {
  return { ...plainTaskOf(family), leanFolder: join(family.folder, 'lean') };
}

function pssRatio(measurements: readonly LoadMeasured[], { bytes }: LargeFamily): number {
  return median(measurements.map(({ growthBytes }) => growthBytes)) / bytes;
}

/** Until every level has answered once: how long the runs themselves take weighs on both alike. */
function firstAnswersMs(measurement: LoadMeasured): number {
  return totalMs(measurement) + measurement.firstRunsMs;
}

/** Until every level is loaded. */
function totalMs({ prepareMs, loadMs }: LoadMeasured): number {
  return prepareMs + loadMs;
}

/** In a process of its own: what another measurement left in the heap would count. */
async function measured(task: LoadTask): Promise<LoadMeasured> {
  const heard: LoadMeasured[] = [];
  const child = new NativeChild<LoadMeasured>({
    module: siblingModule(import.meta.url, 'runtime-memory-child'),
    task,
    execArgv: ['--expose-gc'],
    onMessage: (message) => heard.push(message),
  });
  await child.ended;
  const [measurement] = heard;
  if (measurement === undefined)
    throw new Error(`loading a family of ${task.models.length}: ${child.lastWords()}`);
  return measurement;
}
