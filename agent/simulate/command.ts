import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import type { Column } from '../../shared/cli/format.ts';
import { addExamplesOf, addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { createTerminal } from '../../shared/cli/terminal.ts';
import {
  parseChoice,
  parseCount,
  parseDurationMs,
  parseFraction,
  parseWhole,
} from '../../shared/cli/values.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { writeAtomic } from '../../shared/files.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import { parseQuantity } from '../../shared/units.ts';
import { calibrationOf } from './calibration.ts';
import { generatedCourse, SCENARIO_FRAMES } from './course.ts';
import { FURTHER_FIGURES, MAIN_FIGURES } from './figures.ts';
import { LEVEL_NAMES, loadLevels } from './levels.ts';
import { type MetricsOptions, metricsOf } from './metrics.ts';
import type { FrameOutcome } from './replay.ts';
import { SCENARIOS, type ScenarioName } from './scenarios.ts';
import { type Course, simulate, simulatedNames } from './simulate.ts';
import { profileOf, readTrace } from './trace.ts';

/** Generated latencies at the most, of all levels together: they are held in memory. */
const MAX_LATENCIES = 10_000_000;
const SCENARIO_NAMES = Object.keys(SCENARIOS) as readonly ScenarioName[];

interface SimulateFlags extends OutputOptions {
  readonly policy: string;
  readonly trace?: string;
  readonly scenario?: string;
  readonly levels: string;
  readonly seed: string;
  readonly frames: string;
  readonly latency?: string;
  readonly missShare?: string;
  readonly accuracyFloor?: string;
  readonly energy?: string;
  readonly price?: string;
  readonly stepAt?: string;
  readonly framesOut?: string;
  readonly writeTrace?: string;
}

/** Makes a command the one that runs a policy over a recorded or generated trace. */
export function addSimulateCommand(command: Command): Command {
  command
    .description(
      'Run a policy over a trace and tell what it was worth; nothing is inferred, no device is needed.',
    )
    .requiredOption('--policy <name>', `one of ${simulatedNames().join(', ')}`)
    .option('--trace <file>', 'what each level takes for each frame, as record writes it')
    .addOption(new Option('--scenario <name>', 'a generated trace instead').choices(SCENARIO_NAMES))
    .addOption(
      new Option('--levels <source>', `of the generated trace: ${LEVEL_NAMES.join(', ')}, or a JSON file`)
        .default('bundled')
        .conflicts('trace'),
    )
    .addOption(new Option('--seed <n>', 'of the generated trace').default('1').conflicts('trace'))
    .addOption(
      new Option('--frames <n>', 'of the generated trace')
        .default(String(SCENARIO_FRAMES))
        .conflicts('trace'),
    )
    .option('--latency <duration>', "latency budget; default the trace's deadline")
    .option('--miss-share <share>', 'share of frames that may miss it')
    .option('--accuracy-floor <share>', 'no level under this accuracy')
    .option('--energy <energy>', 'of one inference, on average')
    .option('--price <number>', 'accuracy that one joule is worth')
    .option('--step-at <duration>', 'measure settling from there to the end of the trace')
    .option('--frames-out <file>', 'what became of each frame, as JSON lines')
    .option('--write-trace <file>', 'keep the trace');
  addOutput(command).action((flags: SimulateFlags) => run(flags));
  return addExamplesOf('ofa-agent', command, [
    'simulate --scenario step --levels jetson-gpu --policy ofa --miss-share 2%',
    'simulate --trace trace.json --policy alert-tuned --latency 60ms -o json',
  ]);
}

async function run(flags: SimulateFlags): Promise<void> {
  const { course, ...about } = await courseOf(flags);
  const outcomes = simulate(flags.policy, course);
  const options: MetricsOptions = { oracle: simulate('oracle', course), profile: course.profile, ...about };
  await write(flags.writeTrace, () => JSON.stringify(course.trace));
  await write(flags.framesOut, () =>
    outcomes.map((outcome) => `${JSON.stringify(lineOf(outcome))}\n`).join(''),
  );
  print(flags, { outcomes, options, course });
}

type About = { readonly course: Course } & Pick<MetricsOptions, 'step' | 'secondMs'>;

async function courseOf(flags: SimulateFlags): Promise<About> {
  const requirement = requirementOf(flags);
  const { trace: path, scenario } = flags;
  if ((path === undefined) === (scenario === undefined)) {
    throw new AppError('usage', 'simulate: name either a file with --trace or a scenario with --scenario');
  }
  const stepAt = flags.stepAt === undefined ? undefined : parseDurationMs(flags.stepAt, '--step-at');
  const stated = stepAt === undefined ? {} : { step: { fromMs: stepAt, toMs: Number.MAX_VALUE } };
  if (path !== undefined) {
    const trace = await readTrace(path);
    return { course: { trace, profile: profileOf(trace), requirement }, ...stated };
  }
  const profile = await loadLevels(flags.levels);
  const frames = parseCount(flags.frames, '--frames');
  const most = Math.floor(MAX_LATENCIES / profile.length);
  if (frames > most) throw new AppError('usage', `--frames: ${frames} is more than ${most}`);
  const { secondMs, step, ...course } = generatedCourse({
    profile,
    requirement,
    scenario: parseChoice(scenario ?? '', SCENARIO_NAMES, '--scenario'),
    seed: parseWhole(flags.seed, '--seed'),
    frames,
  });
  return { course, secondMs, ...(step === undefined ? {} : { step }), ...stated };
}

function requirementOf(flags: SimulateFlags): Requirement {
  const { latency, missShare, accuracyFloor, energy, price } = flags;
  return {
    ...(latency !== undefined && { latencyMs: parseDurationMs(latency, '--latency') }),
    ...(missShare !== undefined && { missShare: parseShare(missShare) }),
    ...(accuracyFloor !== undefined && { accuracyFloor: parseFraction(accuracyFloor, '--accuracy-floor') }),
    ...(energy !== undefined && { energyJ: parseQuantity(energy, 'energy', '--energy') }),
    ...(price !== undefined && { price: parsePrice(price) }),
  };
}

function parseShare(text: string): number {
  const share = parseFraction(text, '--miss-share');
  if (share < 1) return share;
  throw new AppError('usage', `--miss-share: '${text}' would let every frame miss`);
}

function parsePrice(text: string): number {
  const price = /^\d+(\.\d+)?(e-?\d{1,2})?$/.test(text) ? Number(text) : Number.NaN;
  if (price <= 1_000_000) return price;
  throw new AppError('usage', `--price: '${text}' is not a number between 0 and 1000000`);
}

interface Result {
  readonly outcomes: readonly FrameOutcome[];
  readonly options: MetricsOptions;
  readonly course: Course;
}

function print(flags: SimulateFlags, { outcomes, options, course }: Result): void {
  const metrics = metricsOf(outcomes, options);
  const table = flags.trace === undefined ? flags.levels : flags.trace;
  const prefix = [basename(table, '.json'), flags.scenario ?? 'trace', flags.policy].join('.');
  const rows = [...MAIN_FIGURES, ...FURTHER_FIGURES].map(({ name, unit, better, of }) => {
    const value = of(metrics);
    return { name, value: Number.isFinite(value) ? value : null, unit, better };
  });
  const short = Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  const json = {
    policy: flags.policy,
    frames: outcomes.length,
    deadlineMs: course.requirement.latencyMs ?? course.trace.deadlineMs,
    ...short,
    levels: levelShares(outcomes, course),
    calibration: calibrationOf(outcomes),
    figures: rows.map((row) => ({ ...row, name: `${prefix}.${row.name}` })),
  };
  createTerminal(process.env).print({ rows, columns: COLUMNS, json }, flags.output);
}

const COLUMNS: readonly Column<{
  readonly name: string;
  readonly value: number | null;
  readonly unit: string;
}>[] = [
  { head: 'FIGURE', value: ({ name }) => name },
  {
    head: 'VALUE',
    value: ({ value }) => value,
    text: ({ value }) => (value === null ? '' : String(Number(value.toPrecision(4)))),
    align: 'right',
  },
  { head: 'UNIT', value: ({ unit }) => unit },
];

/** Which share of all frames ran at each operating point. */
function levelShares(outcomes: readonly FrameOutcome[], { profile }: Course): number[] {
  return profile.map((_, index) => outcomes.filter(({ point }) => point === index).length / outcomes.length);
}

function lineOf({ decision, point, ...rest }: FrameOutcome): unknown {
  const { cause, predictedMs, missProbability, timeLeftMs, gaveWay } = decision;
  return { ...rest, point: point ?? null, cause, predictedMs, missProbability, timeLeftMs, gaveWay };
}

async function write(path: string | undefined, text: () => string): Promise<void> {
  if (path === undefined) return;
  await writeAtomic(path, text()).catch((cause: unknown) => {
    throw new AppError('system', `${path}: cannot be written: ${describeError(cause)}`, { cause });
  });
}
