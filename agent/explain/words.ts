import { formatMs, formatPercent, formatSheet, formatTime } from '../../shared/cli/format.ts';
import type {
  ExplainedCandidate,
  ExplainedDecision,
  InferenceSummary,
  PointName,
} from '../../shared/protocol/explanation.ts';
import { DEFAULT_MISS_SHARE, type Requirement } from '../../shared/protocol/requirement.ts';
import { formatDurationMs, formatEnergyJ, formatPowerW, formatTempC } from '../../shared/units.ts';
import type { Profile } from '../runtime/points.ts';
import type { Cause, Decision } from '../runtime/policy.ts';
import { recordOf } from './record.ts';

/** What a message of the protocol has room for. */
const MAX_SUMMARY_CHARACTERS = 1_000;

const WHY: Readonly<Record<Cause, string>> = {
  best: 'the best level meets every limit',
  'latency-binds': 'a better level would not meet the latency budget',
  'accuracy-binds': 'a better level would be under the accuracy floor',
  'energy-binds': 'a better level would need more energy than is allowed',
  'temperature-binds': 'a better level would heat the device beyond its limit',
  'price-binds': 'a more accurate level costs more energy than its accuracy is worth',
  'gain-must-last': 'a better level would fit now, but such gains have not lasted lately',
  'load-expected': 'a better level would fit now, but load is expected to come back',
  'gave-way': 'nothing meets every limit',
  'too-late': 'not even the fastest level would end in what is left of its time',
  policy: 'the policy in force chose it',
};

/**
 * A decision in one line, for events and logs.
 * @returns at most 1000 characters
 */
export function explainDecision(decision: Decision, requirement: Requirement, profile: Profile): string {
  const record = recordOf({ kind: 'switch', ts: 0, decision, requirement, profile });
  return summarise(record).slice(0, MAX_SUMMARY_CHARACTERS);
}

/** The same of a decision that was kept. */
export function summarise(record: ExplainedDecision): string {
  const { priority: _priority, ...others } = record.requirement;
  // The order of limits says something only where one of them gave way.
  const limits = limitsOf(record.gaveWay.length === 0 ? others : record.requirement);
  const inForce = limits.length === 0 ? ['no limits'] : limits;
  return `${whyOf(record)} (${[...expectationOf(record), ...inForce].join(', ')})`;
}

/** A decision in several lines: what happened and why, what was expected of each candidate, and what came of it. */
export function describeRecord(record: ExplainedDecision): string[] {
  const limits = limitsOf(record.requirement);
  return [
    `${formatTime(record.ts)}  ${eventOf(record)}`,
    `  why:       ${whyOf(record)}`,
    `  expected:  ${expectationOf(record).join(', ') || 'nothing was said'}`,
    `  limits:    ${limits.length === 0 ? 'none' : limits.join(', ')}`,
    ...boundBy(record).map((line) => `  bound by:  ${line}`),
    ...candidateLines(record),
    `  outcome:   ${outcomeOf(record)}`,
  ];
}

/** Inferences of a short time in a line. */
export function describeSummary({ since, until, ...seen }: InferenceSummary): string {
  const span = `${formatTime(since)} to ${formatTime(until)}`;
  if (seen.inferences === 0) return `${span}: no inferences`;
  const { latencyMeanMs, latencyMaxMs } = seen;
  return `${span}: ${seen.inferences} inferences, ${seen.misses} too late, latency mean ${formatMs(latencyMeanMs)}, highest ${formatMs(latencyMaxMs)}`;
}

function nameOf({ pe, level }: PointName): string {
  return `${pe}/${level}`;
}

function eventOf({ kind, from, to, limit, state }: ExplainedDecision): string {
  const chosen = to === undefined ? 'no level' : nameOf(to);
  if (kind === 'shed') return 'frame shed';
  if (kind === 'switch')
    return from === undefined ? `switch to ${chosen}` : `switch ${nameOf(from)} -> ${chosen}`;
  return `${limit ?? 'a limit'} ${state === 'ends' ? 'can be met again' : 'cannot be met'}, on ${chosen}`;
}

function whyOf({ cause, gaveWay }: ExplainedDecision): string {
  const why: string = Object.hasOwn(WHY, cause) ? WHY[cause as Cause] : cause;
  const way = gaveWay.length === 1 ? 'gives way' : 'give way';
  return gaveWay.length === 0 ? why : `${why}: ${gaveWay.join(' and ')} ${way}`;
}

function expectationOf({ to, predictedMs, missProbability, timeLeftMs }: ExplainedDecision): string[] {
  return [
    ...(predictedMs === undefined
      ? []
      : [`${formatDurationMs(predictedMs)} predicted${to === undefined ? '' : ` on ${nameOf(to)}`}`]),
    ...(missProbability === undefined ? [] : [`too late with probability ${formatPercent(missProbability)}`]),
    ...(timeLeftMs === undefined ? [] : [timeOf(timeLeftMs)]),
  ];
}

function timeOf(timeLeftMs: number): string {
  return timeLeftMs < 0
    ? `${formatDurationMs(-timeLeftMs)} past its time`
    : `${formatDurationMs(timeLeftMs)} left`;
}

function limitsOf(requirement: Requirement): string[] {
  const { latencyMs, missShare = DEFAULT_MISS_SHARE, accuracyFloor, powerW, energyJ, tempC } = requirement;
  const { price, priority } = requirement;
  return [
    ...(latencyMs === undefined
      ? []
      : [`budget ${formatDurationMs(latencyMs)} of which ${formatPercent(missShare)} may miss`]),
    ...(accuracyFloor === undefined ? [] : [`accuracy floor ${formatPercent(accuracyFloor)}`]),
    ...(powerW === undefined ? [] : [`power ${formatPowerW(powerW)}`]),
    ...(energyJ === undefined ? [] : [`energy ${formatEnergyJ(energyJ)} per inference`]),
    ...(tempC === undefined ? [] : [`temperature ${formatTempC(tempC)}`]),
    ...(price === undefined ? [] : [`price ${Number(price.toPrecision(3))} per joule`]),
    ...(priority === undefined ? [] : [`priority ${priority}`]),
  ];
}

/** Which limits keep which points out. */
function boundBy({ candidates }: ExplainedDecision): string[] {
  const excluded = candidates.filter(
    ({ excludedBy }) => excludedBy !== undefined && excludedBy !== 'unusable',
  );
  return [...Map.groupBy(excluded, ({ excludedBy }) => excludedBy)].map(
    ([limit, points]) => `${limit} (keeps out ${points.map(nameOf).join(', ')})`,
  );
}

function candidateLines({ candidates, moreCandidates, to }: ExplainedDecision): string[] {
  if (candidates.length === 0) return [];
  const isChosen = (row: ExplainedCandidate): boolean => to !== undefined && nameOf(row) === nameOf(to);
  const table = formatSheet(
    {
      rows: candidates,
      json: undefined,
      columns: [
        { head: 'POINT', value: nameOf },
        { head: 'ACCURACY', value: ({ accuracy }) => formatPercent(accuracy), align: 'right' },
        { head: 'PREDICTED', value: ({ predictedMs }) => formatMs(predictedMs), align: 'right' },
        { head: 'TOO-LATE', value: ({ missProbability }) => formatPercent(missProbability), align: 'right' },
        {
          head: 'ENERGY',
          value: ({ energyJ }) => (energyJ === undefined ? '' : formatEnergyJ(energyJ)),
          align: 'right',
        },
        { head: 'VALUE', value: ({ value }) => value && Number(value.toPrecision(4)), align: 'right' },
        { head: 'VERDICT', value: (row) => (isChosen(row) ? 'chosen' : verdictOf(row)) },
      ],
    },
    { format: 'table', color: false },
  );
  const more = moreCandidates === undefined ? [] : [`    and ${moreCandidates} more`];
  return [
    '  candidates:',
    ...table
      .trimEnd()
      .split('\n')
      .map((line) => `    ${line}`),
    ...more,
  ];
}

function verdictOf({ excludedBy }: ExplainedCandidate): string {
  if (excludedBy === undefined) return '';
  return excludedBy === 'unusable' ? 'not loaded' : `out: ${excludedBy}`;
}

function outcomeOf({ kind, outcome }: ExplainedDecision): string {
  if (outcome === undefined) return kind === 'shed' ? 'no inference was made' : 'not measured';
  return `${formatDurationMs(outcome.latencyMs)}, ${outcome.missed ? 'too late' : 'in time'}`;
}
