import type { Metric } from '../api/history-schemas.ts';

const PER_INFERENCE = {
  latencyMs: 'from the arrival of a frame to its answer',
  slowdown: 'its run alone, relative to the profile',
  queueMs: 'from the arrival of a frame to the begin of its run',
  energyJ: 'energy above idle',
} as const;

const COUNTERS = {
  inferences: 'inferences made',
  misses: 'inferences that missed the latency budget',
  audits: 'audits that ended',
  switches: 'changes of level',
  sheds: 'frames given up because no level would have been in time',
  skipped: 'frames left out because a newer one was there',
  unreadable: 'frames that could not be read',
  failed: 'inferences that failed',
  windows: 'telemetry windows',
} as const;

const SHARES = {
  missShare: 'of inferences, those that missed the latency budget',
  accuracy: 'of frames with a known label, those answered rightly',
  agreement: 'of audits, those that agreed with the best level',
  confidence: 'mean confidence of the answers',
  share: 'of inferences, with --by level',
  timeShare: 'of time, with --by level',
  level: 'level in use',
} as const;

const ENERGY = {
  deviceEnergyJ: 'energy of the whole device; its rate is its power',
  measuredShare: 'of the time with a known energy, that in which it was measured and not modelled',
} as const;

const GAUGES = {
  powerW: 'power of the device',
  tempC: 'its hottest zone',
  cpuBusy: 'share of time in which the processors work',
  gpuBusy: 'the same of the GPU',
  cpuFreqHz: 'clock of the processors',
  gpuFreqHz: 'clock of the GPU',
  memAvailableBytes: 'memory that programs may still have',
  rssBytes: 'memory of the agent',
  queue: 'frames and requests that wait',
  cpuPressure: 'share of time in which processes wait for a processor',
  managerSlowdown: 'slowdown that the manager reckoned with',
  price: 'accuracy per joule that it reckoned with',
  outboxRecords: 'records that the device could not deliver yet',
  outboxAgeMs: 'age of the oldest of them',
  drifting: 'share of time in which audits found the levels worse than they were',
} as const;

const BUDGETS = {
  budgetLatencyMs: 'limits that were in force',
  budgetMissShare: '',
  budgetAccuracyFloor: '',
  budgetPowerW: '',
  budgetEnergyJ: '',
  budgetTempC: '',
} as const;

const COVERAGE = {
  coverage: 'of the time, that of which windows tell',
} as const;

/** What each metric tells; the type keeps it complete. */
const METRIC_HELP = {
  ...PER_INFERENCE,
  ...COUNTERS,
  ...SHARES,
  ...ENERGY,
  ...GAUGES,
  ...BUDGETS,
  ...COVERAGE,
} as const satisfies Record<Metric, string>;

/** The names of all metrics. */
export const METRIC_NAMES: readonly Metric[] = Object.keys(METRIC_HELP) as (keyof typeof METRIC_HELP)[];

const GROUPS = [
  ['of each inference: mean, min, max, sum, count, and percentiles such as p95', PER_INFERENCE],
  ['counters: sum, rate (per second), mean (per window), count', COUNTERS],
  ['shares and means: mean, count', SHARES],
  ['energy of the device: sum and rate, in W; the mean of a share', ENERGY],
  ['over time: mean, min, max', GAUGES],
  ['limits in force, over time: mean, min, max', BUDGETS],
  ['how much of the time is reported', COVERAGE],
] as const satisfies readonly (readonly [string, Readonly<Record<string, string>>])[];

/** The metrics with what they tell, for the help of a command. */
export function metricHelp(): string {
  const width = Math.max(...METRIC_NAMES.map((name) => name.length));
  const lines = GROUPS.flatMap(([title, metrics]) => [
    `  ${title}`,
    ...Object.entries(metrics).map(([name, text]) => `    ${name.padEnd(width)}  ${text}`.trimEnd()),
  ]);
  return ['Metrics, with their aggregates:', ...lines].join('\n');
}
