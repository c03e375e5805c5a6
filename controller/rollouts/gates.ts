import { AppError } from '../../shared/errors.ts';
import { formatDurationMs, formatEnergyJ, parseQuantity } from '../../shared/units.ts';
import { GATE_METRICS, type Gate, type GateMetric, OPERATORS } from '../store/rollout-store.ts';

/** What kind of number a metric is: that decides how its limit is written. */
export const GATE_KINDS = {
  miss: 'share',
  shed: 'share',
  agreement: 'share',
  accuracy: 'share',
  profile: 'time',
  latency: 'time',
  p95: 'time',
  p99: 'time',
  energy: 'energy',
  crashes: 'count',
  fallback: 'count',
} as const satisfies Record<GateMetric, 'share' | 'time' | 'energy' | 'count'>;

/** What devices say themselves, each once, whatever they infer. */
const TOLD_BY_DEVICES: ReadonlySet<GateMetric> = new Set(['agreement', 'profile', 'crashes', 'fallback']);

/** Whether a metric is counted in devices (or their frames), and not in inferences of the telemetry. */
export function isToldByDevices(metric: GateMetric): boolean {
  return TOLD_BY_DEVICES.has(metric);
}

const GATE = new RegExp(`^\\s*([a-z0-9]+)\\s*(${OPERATORS.join('|')})\\s*(\\S+)\\s*$`);
const EXAMPLES = 'miss<1%, latency<+10% or crashes<=0';

/**
 * Reads a gate: METRIC OP VALUE. A share is written in % (with a sign: points against before), a time in ms or s and
 * an energy in J or mJ (or, with a sign, in % against before), a count as a whole number.
 * @throws AppError `usage` naming the part that is wrong
 */
export function parseGate(text: string): Gate {
  const what = `gate '${text}'`;
  const [, name = '', sign = '', value = ''] = GATE.exec(text) ?? [];
  const op = OPERATORS.find((each) => each === sign);
  if (op === undefined)
    throw new AppError('usage', `${what}: write METRIC OP VALUE, for example ${EXAMPLES}`);
  const metric = GATE_METRICS.find((each) => each === name);
  if (metric === undefined) {
    throw new AppError('usage', `${what}: '${name}' is not one of ${GATE_METRICS.join(', ')}`);
  }
  const isAgainstBefore = /^[+-]/.test(value);
  if (isAgainstBefore && (GATE_KINDS[metric] === 'count' || metric === 'agreement')) {
    throw new AppError('usage', `${what}: ${metric} has no before; write its limit without a sign`);
  }
  return { metric, op, value: limitValue({ metric, value, isAgainstBefore, what }), isAgainstBefore };
}

interface ValueText {
  readonly metric: GateMetric;
  readonly value: string;
  readonly isAgainstBefore: boolean;
  readonly what: string;
}

function limitValue({ metric, value, isAgainstBefore, what }: ValueText): number {
  const kind = GATE_KINDS[metric];
  if (kind === 'count') {
    if (/^\d{1,9}$/.test(value)) return Number(value);
    throw new AppError('usage', `${what}: '${value}' is not a whole number, zero or above`);
  }
  if (kind === 'share' || isAgainstBefore) {
    const share = shareOf(value, what);
    if (isAgainstBefore || (share >= 0 && share <= 1)) return share;
    throw new AppError('usage', `${what}: '${value}' is not between 0 and 100%`);
  }
  return exact(parseQuantity(value, kind === 'time' ? 'duration' : 'energy', what));
}

/** In percent only: `miss<1` could be one in a hundred as well as all of them. */
function shareOf(text: string, what: string): number {
  if (text.endsWith('%')) return exact(parseQuantity(text, 'fraction', what));
  throw new AppError('usage', `${what}: write '${text}' in percent, for example ${EXAMPLES}`);
}

/** As many digits as people write; a product such as 57 * 0.01 has more. */
function exact(value: number): number {
  return Number(value.toPrecision(12));
}

/** Writes a gate as `parseGate` reads it. */
export function formatGate({ metric, op, value, isAgainstBefore }: Gate): string {
  const kind = GATE_KINDS[metric];
  if (kind === 'count') return `${metric}${op}${value}`;
  const sign = isAgainstBefore && value >= 0 && !Object.is(value, -0) ? '+' : '';
  if (kind === 'share' || isAgainstBefore) return `${metric}${op}${sign}${formatShare(value)}`;
  return `${metric}${op}${value}${kind === 'time' ? 'ms' : 'J'}`;
}

/** A share in percent, with all its digits. */
export function formatShare(share: number): string {
  return Object.is(share, -0) ? '-0%' : `${exact(share * 100)}%`;
}

/** A value of a metric for people. */
export function formatGateValue(metric: GateMetric, value: number): string {
  switch (GATE_KINDS[metric]) {
    case 'share':
      return `${Number((value * 100).toPrecision(3))}%`;
    case 'time':
      return formatDurationMs(value);
    case 'energy':
      return formatEnergyJ(value);
    case 'count':
      return String(value);
  }
}
