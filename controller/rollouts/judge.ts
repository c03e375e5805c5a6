import type { Gate, Measured } from '../store/rollout-store.ts';
import { formatGate, formatGateValue, GATE_KINDS, isToldByDevices } from './gates.ts';

/** Fewer inferences say nothing early. */
export const MIN_INFERENCES = 50;

/** `broken`: it does not hold of what was measured. `unknown`: nothing was measured, `why` says of what. */
export type Verdict =
  | { readonly verdict: 'holds' | 'broken'; readonly limit: number }
  | { readonly verdict: 'unknown'; readonly why: string };

/** What a gate says of a measurement. */
export function judge(gate: Gate, measured: Measured | undefined): Verdict {
  if (measured?.now === undefined) return { verdict: 'unknown', why: `no data of ${gate.metric}` };
  const limit = limitOf(gate, measured.before);
  if (limit === undefined) return { verdict: 'unknown', why: `no data of ${gate.metric} before` };
  return { verdict: compare(measured.now, gate, limit) ? 'holds' : 'broken', limit };
}

/** Points are added to a share; an amount grows by a part of itself. */
function limitOf({ metric, value, isAgainstBefore }: Gate, before: number | undefined): number | undefined {
  if (!isAgainstBefore) return value;
  if (before === undefined) return undefined;
  return GATE_KINDS[metric] === 'share' ? before + value : before * (1 + value);
}

function compare(value: number, { op }: Pick<Gate, 'op'>, limit: number): boolean {
  switch (op) {
    case '<':
      return value < limit;
    case '<=':
      return value <= limit;
    case '>':
      return value > limit;
    case '>=':
      return value >= limit;
  }
}

/**
 * Whether a gate is broken beyond doubt while its devices still soak: it would be even if all that is still to be
 * measured were as good as can be (no miss, a latency as before). Counts only grow: theirs are as soon as they are.
 */
export function isBeyondDoubt(gate: Gate, measured: Measured | undefined): boolean {
  const judged = judge(gate, measured);
  if (measured?.now === undefined || judged.verdict !== 'broken') return false;
  const isUpperLimit = gate.op === '<' || gate.op === '<=';
  const kind = GATE_KINDS[gate.metric];
  if (kind === 'count') return isUpperLimit;
  if (!isToldByDevices(gate.metric) && measured.count < MIN_INFERENCES) return false;
  const { now, before, share } = measured;
  const best = kind === 'share' ? (isUpperLimit ? 0 : 1) : (before ?? (isUpperLimit ? 0 : undefined));
  if (best === undefined) return share === 1;
  return !compare(now * share + best * (1 - share), gate, judged.limit);
}

/** Why a gate does not hold, in words: what was measured, what it was before, what is allowed. */
export function whyBroken(gate: Gate, measured: Measured | undefined): string {
  const judged = judge(gate, measured);
  if (judged.verdict === 'unknown') return `gate ${formatGate(gate)}: ${judged.why}`;
  const value = (number: number): string => formatGateValue(gate.metric, number);
  const now = measured?.now === undefined ? '-' : value(measured.now);
  const before = measured?.before === undefined ? '' : ` (before: ${value(measured.before)})`;
  const side = gate.op.startsWith('<') ? 'above' : 'below';
  const limit = `${side} the limit of ${value(judged.limit)}`;
  return `gate ${formatGate(gate)} is broken: ${gate.metric} is ${now}${before}, ${limit}, of ${casesOf(gate, measured)}`;
}

function casesOf({ metric }: Gate, measured: Measured | undefined): string {
  const count = measured?.count ?? 0;
  if (metric === 'agreement') return `${count} frames`;
  if (!isToldByDevices(metric)) return `${count} inferences`;
  return count === 1 ? '1 device' : `${count} devices`;
}
