import { type BackoffPolicy, backoffMs } from '../../shared/backoff.ts';

export type SensorState = 'ok' | 'slow' | 'frozen' | 'missing' | 'absurd';

/** What came of one attempt to read a sensor. */
export type Outcome =
  | {
      readonly kind: 'value';
      readonly value: number;
      /** As the sensor told it: what does not move when the sensor is frozen. */
      readonly raw: number;
      /** Busy share of the machine, 0..1, where it is known. */
      readonly activity: number | undefined;
      readonly limits: Limits;
    }
  /** It was read, and there is nothing to judge in it. */
  | { readonly kind: 'read' }
  /** It was read, and tells something from the next time on: what is counted needs two readings. */
  | { readonly kind: 'not-yet' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'slow'; readonly reason: string };

/** What a working sensor can say. */
export interface Limits {
  readonly unit: string;
  /** Smallest and largest value that there can be. */
  readonly min: number;
  readonly max: number;
  /** A value so many times more, or less, than those before it is absurd; both are taken for `floor` at least. */
  readonly ratio?: { readonly most: number; readonly floor: number };
  /** A value so much above or below those before it is absurd, unless others after it agree with it. */
  readonly step?: number;
  /** The same raw value so often in a row, for so long, while activity varied by so much, is a frozen sensor. */
  readonly held?: { readonly readings: number; readonly forMs: number; readonly activity: number };
}

/** The same raw value, again and again. */
interface Held {
  readonly raw: number;
  readonly sinceMs: number;
  readonly readings: number;
  readonly leastActivity: number;
  readonly mostActivity: number;
}

/** What is known of one sensor. */
export interface Health {
  readonly state: SensorState;
  /** Monotonic milliseconds since which it is in this state. */
  readonly sinceMs: number;
  /** Why it is not well; empty when it is. */
  readonly reason: string;
  /** It is not read before this time while it is not well. */
  readonly retryAtMs: number;
  /** Failures since it last was well for long. */
  readonly attempt: number;
  /** Readings in a row that were good. */
  readonly good: number;
  /** The newest accepted values, oldest first. */
  readonly recent: readonly number[];
  /** Newest values that were a step away from the accepted ones, and agreed with each other. */
  readonly disputed: readonly number[];
  readonly held: Held | undefined;
}

/** Values that the next one is compared with: their median is not moved by one that slipped through. */
const RECENT = 5;
/** With fewer values there is nothing to compare with. */
const COMPARABLE = 3;
/** So many values in a row that agree are believed, however far they are from those before. */
const AGREEING = 3;
/** After so many good readings in a row the next failure is a new one. */
const LASTING = 10;

/** A sensor of which nothing is known yet. */
export function unreadHealth(nowMs: number): Health {
  return {
    state: 'ok',
    sinceMs: nowMs,
    reason: '',
    retryAtMs: nowMs,
    attempt: 0,
    good: 0,
    recent: [],
    disputed: [],
    held: undefined,
  };
}

/** Whether the sensor is to be read now. Time that went backwards is no reason to wait for it to come again. */
export function isDue(health: Health, nowMs: number): boolean {
  return health.state === 'ok' || nowMs >= health.retryAtMs || nowMs < health.sinceMs;
}

/** Chance and times of retries. */
export interface Retrying {
  readonly backoff: BackoffPolicy;
  /** Uniform in [0, 1). */
  readonly chance: number;
}

/**
 * What is known of a sensor after one more attempt to read it. A value is to be used only when the state after
 * it is `ok`.
 */
export function stepHealth(health: Health, outcome: Outcome, nowMs: number, retrying: Retrying): Health {
  if (outcome.kind === 'not-yet') return { ...health, retryAtMs: nowMs };
  if (outcome.kind === 'read') return well(health, nowMs);
  if (outcome.kind === 'failed') return unwell(health, 'missing', outcome.reason, nowMs, retrying);
  if (outcome.kind === 'slow') return unwell(health, 'slow', outcome.reason, nowMs, retrying);
  const impossible = impossibleBecause(outcome.value, outcome.limits);
  if (impossible !== undefined) return unwell(health, 'absurd', impossible, nowMs, retrying);
  const held = heldAfter(health.held, outcome.raw, outcome.activity, nowMs);
  const frozen = frozenBecause(held, outcome.limits, nowMs);
  if (frozen !== undefined) return unwell({ ...health, held }, 'frozen', frozen, nowMs, retrying);
  return compared({ ...health, held }, outcome, nowMs, retrying);
}

/** A value that is possible is compared with those before it. */
function compared(
  health: Health,
  { value, limits }: Extract<Outcome, { kind: 'value' }>,
  nowMs: number,
  retrying: Retrying,
): Health {
  const jump = jumpBecause(health.recent, value, limits);
  if (jump === undefined) return well(health, nowMs, [...health.recent, value].slice(-RECENT));
  const step = limits.step ?? 0;
  const disputed = [...health.disputed.filter((other) => Math.abs(other - value) <= step), value];
  // What jumps by a factor is a fault of units or wires and stays one; a step can be the truth.
  if (step > 0 && disputed.length >= AGREEING) return well(health, nowMs, disputed);
  return unwell({ ...health, disputed: disputed.slice(-AGREEING) }, 'absurd', jump, nowMs, retrying);
}

function well(health: Health, nowMs: number, recent: readonly number[] = health.recent): Health {
  const good = health.good + 1;
  return {
    ...health,
    state: 'ok',
    sinceMs: health.state === 'ok' ? health.sinceMs : nowMs,
    reason: '',
    retryAtMs: nowMs,
    attempt: good >= LASTING ? 0 : health.attempt,
    good,
    recent,
    disputed: [],
  };
}

function unwell(
  health: Health,
  state: SensorState,
  reason: string,
  nowMs: number,
  { backoff, chance }: Retrying,
): Health {
  return {
    ...health,
    state,
    sinceMs: health.state === state ? health.sinceMs : nowMs,
    reason,
    retryAtMs: nowMs + backoffMs(health.attempt, backoff, () => chance),
    attempt: health.attempt + 1,
    good: 0,
  };
}

function impossibleBecause(value: number, { min, max, unit }: Limits): string | undefined {
  if (value >= min && value <= max) return undefined;
  return `${value} ${unit} was read, expected ${min} to ${max} ${unit}`;
}

function jumpBecause(recent: readonly number[], value: number, limits: Limits): string | undefined {
  if (recent.length < COMPARABLE) return undefined;
  const usual = recent.toSorted((a, b) => a - b)[Math.floor(recent.length / 2)] ?? value;
  const { ratio, step, unit } = limits;
  const text = `${value} ${unit} was read, after ${usual} ${unit}`;
  if (step !== undefined && Math.abs(value - usual) > step) return text;
  if (ratio === undefined) return undefined;
  const [less, more] = [value, usual].map((one) => Math.max(one, ratio.floor)).toSorted((a, b) => a - b);
  return (more ?? 0) >= (less ?? 0) * ratio.most ? text : undefined;
}

function heldAfter(held: Held | undefined, raw: number, activity: number | undefined, nowMs: number): Held {
  const least = activity ?? Number.POSITIVE_INFINITY;
  const most = activity ?? Number.NEGATIVE_INFINITY;
  if (held?.raw !== raw)
    return { raw, sinceMs: nowMs, readings: 1, leastActivity: least, mostActivity: most };
  return {
    raw,
    sinceMs: held.sinceMs,
    readings: held.readings + 1,
    leastActivity: Math.min(held.leastActivity, least),
    mostActivity: Math.max(held.mostActivity, most),
  };
}

function frozenBecause(held: Held, { held: limit }: Limits, nowMs: number): string | undefined {
  if (limit === undefined || held.readings < limit.readings) return undefined;
  if (nowMs - held.sinceMs < limit.forMs) return undefined;
  const varied = Math.max(0, held.mostActivity - held.leastActivity);
  if (varied < limit.activity) return undefined;
  const meanwhile = limit.activity > 0 ? ` while the load varied by ${Math.round(varied * 100)} %` : '';
  return `the same was read ${held.readings} times in a row (${held.raw})${meanwhile}`;
}
