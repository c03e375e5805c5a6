import type { Requirement } from '../../../shared/protocol/requirement.ts';
import { GAUGES, type WindowBody } from '../../../shared/protocol/window.ts';

/**
 * Gauges of a summary: those of a window, then what it says of its end, then the limits of its requirement.
 * Stored rows name them by their place in this list: only ever append to it, and never to `GAUGES` alone.
 */
export const SUMMARY_GAUGES = [
  'powerW',
  'tempC',
  'cpuBusy',
  'gpuBusy',
  'cpuFreqHz',
  'gpuFreqHz',
  'memAvailableBytes',
  'rssBytes',
  'queue',
  'cpuPressure',
  'managerSlowdown',
  'price',
  'outboxRecords',
  'outboxAgeMs',
  /** 1 while audits say that the levels are not worth what they were, else 0. */
  'drifting',
  'budgetLatencyMs',
  'budgetMissShare',
  'budgetAccuracyFloor',
  'budgetPowerW',
  'budgetEnergyJ',
  'budgetTempC',
] as const;
export type SummaryGauge = (typeof SUMMARY_GAUGES)[number];

/** Something that has a value at every moment; its mean over time is `sumMs / ms`. */
export interface GaugeSum {
  /** Sum of mean x duration, in the gauge's unit x milliseconds. */
  sumMs: number;
  /** For how long its value was known. */
  ms: number;
  min: number;
  max: number;
}

/** Adds time for which a gauge is known. */
export function addGauge(
  into: Map<string, GaugeSum>,
  name: string,
  sumMs: number,
  ms: number,
  min: number,
  max: number,
): void {
  const known = into.get(name);
  if (known === undefined) {
    into.set(name, { sumMs, ms, min, max });
    return;
  }
  known.sumMs += sumMs;
  known.ms += ms;
  if (min < known.min) known.min = min;
  if (max > known.max) known.max = max;
}

/** Limits of a requirement, and the gauges that say what they were over time. */
const BUDGETS = [
  ['latencyMs', 'budgetLatencyMs'],
  ['missShare', 'budgetMissShare'],
  ['accuracyFloor', 'budgetAccuracyFloor'],
  ['powerW', 'budgetPowerW'],
  ['energyJ', 'budgetEnergyJ'],
  ['tempC', 'budgetTempC'],
] as const satisfies readonly (readonly [keyof Requirement, SummaryGauge])[];

/** Takes a gauge: its mean over `ms` milliseconds, least and greatest value. */
export type TakeGauge = (name: SummaryGauge, mean: number, ms: number, min: number, max: number) => void;

/** Hands over every gauge that a window knows for some time. */
export function gaugesOfWindow(body: WindowBody, take: TakeGauge): void {
  for (const name of GAUGES) {
    const gauge = body.gauges?.[name];
    if (gauge !== undefined && gauge.ms > 0) take(name, gauge.mean, gauge.ms, gauge.min, gauge.max);
  }
  const { durationMs } = body;
  if (durationMs === 0) return;
  const atEnd = (name: SummaryGauge, value: number | undefined): void => {
    if (value !== undefined) take(name, value, durationMs, value, value);
  };
  atEnd('managerSlowdown', body.slowdown);
  atEnd('price', body.price);
  atEnd('outboxRecords', body.outboxRecords);
  atEnd('outboxAgeMs', body.outboxAgeMs);
  atEnd('drifting', body.drifting === undefined ? undefined : Number(body.drifting));
  for (const [limit, name] of BUDGETS) atEnd(name, body.requirement[limit]);
}
