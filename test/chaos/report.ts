import { cpus } from 'node:os';
import Table from 'cli-table3';
import { systemClock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import { seededRandom } from '../../shared/random.ts';
import type { Finding, Scenario } from './scenario.ts';

export type Format = 'table' | 'json';

export interface ScenarioReport extends Finding {
  readonly name: string;
  readonly summary: string;
  readonly holds: boolean;
  readonly durationMs: number;
  /** What was done, in order. */
  readonly did: readonly string[];
}

export interface ChaosReport {
  readonly seed: number;
  readonly cores: number;
  readonly holds: boolean;
  readonly durationMs: number;
  readonly scenarios: readonly ScenarioReport[];
}

export interface ChaosOptions {
  readonly seed: number;
  readonly kills: number;
}

/** Runs scenarios one after the other, and tells standard error what is done. */
export async function runAll(
  scenarios: readonly (readonly [name: string, scenario: Scenario])[],
  options: ChaosOptions,
): Promise<ChaosReport> {
  const startedMs = systemClock.monoMs();
  const reports: ScenarioReport[] = [];
  for (const [name, scenario] of scenarios) reports.push(await runOne(name, scenario, options));
  const durationMs = Math.round(systemClock.monoMs() - startedMs);
  const holds = reports.every((report) => report.holds);
  return { seed: options.seed, cores: cpus().length, holds, durationMs, scenarios: reports };
}

async function runOne(
  name: string,
  scenario: Scenario,
  { seed, kills }: ChaosOptions,
): Promise<ScenarioReport> {
  const did: string[] = [];
  const say = (text: string): void => {
    process.stderr.write(`${name}: ${text}\n`);
  };
  say(scenario.summary);
  const startedMs = systemClock.monoMs();
  const finding = await found(scenario, {
    // Every scenario has its own chance: it is the same when it runs alone.
    random: seededRandom(seed),
    kills,
    did: (what) => {
      did.push(what);
      say(what);
    },
  });
  const durationMs = Math.round(systemClock.monoMs() - startedMs);
  const holds = finding.problems.length === 0;
  for (const problem of finding.problems) say(`PROBLEM ${problem}`);
  say(
    `${finding.skipped === undefined ? verdict(holds) : `skipped, ${finding.skipped}`} (${Math.round(durationMs / 1_000)} s)`,
  );
  return { name, summary: scenario.summary, holds, durationMs, did, ...finding };
}

/** A scenario that fails has found something too. */
async function found(scenario: Scenario, stage: Parameters<Scenario['run']>[0]): Promise<Finding> {
  try {
    return await scenario.run(stage);
  } catch (error) {
    return { figures: {}, problems: [describeError(error)] };
  }
}

function verdict(holds: boolean): string {
  return holds ? 'holds' : 'does not hold';
}

/** The report as one JSON object on one line, or as a table for people. */
export function render(report: ChaosReport, format: Format): string {
  if (format === 'json') return `${JSON.stringify(report)}\n`;
  const table = new Table({
    head: ['scenario', 'boots', 'recorded', 'stored', 'lost', 'counted', 'seconds', ''],
    style: { head: [], border: [] },
  });
  for (const scenario of report.scenarios) table.push(rowOf(scenario));
  const skipped = report.scenarios.flatMap((scenario) => scenario.skipped ?? []);
  return [
    `seed ${report.seed}, ${report.cores} cores, ${Math.round(report.durationMs / 1_000)} s`,
    table.toString(),
    ...report.scenarios.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`)),
    ...skipped.map((reason) => `not tried: ${reason}`),
    `all: ${verdict(report.holds)}\n`,
  ].join('\n');
}

function rowOf({ name, figures, holds, skipped, durationMs }: ScenarioReport): string[] {
  const figure = (key: string): string => String(figures[key] ?? '');
  const total = (kind: string): string =>
    skipped === undefined && figures[`${kind}Windows`] !== undefined
      ? String(Number(figures[`${kind}Windows`]) + Number(figures[`${kind}Events`]))
      : '';
  return [
    name,
    figure('boots'),
    total('recorded'),
    total('stored'),
    figure('lost'),
    figure('countedLost'),
    (durationMs / 1_000).toFixed(0),
    skipped === undefined ? verdict(holds) : 'not tried',
  ];
}
