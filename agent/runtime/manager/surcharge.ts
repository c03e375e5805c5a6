import type { Requirement } from '../../../shared/protocol/requirement.ts';
import type { Profile } from '../points.ts';
import { emptiedWhenSilent, fed, NO_QUEUE, type Queue, SATURATED, stated } from './queue.ts';

/**
 * Limits on averages (energy) and on what answers slowly (temperature) become a price: what was used over the
 * limit waits in a queue, and the longer the queue, the dearer energy is (drift plus penalty, Neely 2010,
 * chapter 4: the average then keeps the limit, and what is lost in accuracy falls with the queue's length).
 */
export interface Surcharge {
  /** Of the device's energy over the limit on its power. */
  readonly power: Queue;
  /** Of inferences' energy over the limit on it. */
  readonly energy: Queue;
  /** Of degrees over the limit on temperature less its margin, times seconds. */
  readonly heat: Queue;
  readonly temperature: Temperature | undefined;
  readonly prices: Prices;
  readonly pricedMs: number;
}

interface Temperature {
  readonly c: number;
  readonly atMs: number;
  /** When it last was another one. */
  readonly changedMs: number;
}

/** What energy costs for the sake of each limit, accuracy per joule; held for a while, or levels would flap. */
interface Prices {
  readonly power: number;
  readonly energy: number;
  readonly heat: number;
}

/** What the device's own limits ask of a request, beside the fleet's price. */
export interface Charge {
  /** Accuracy per joule. */
  readonly price: number;
  /** For limits on power and energy. */
  readonly energy: Tightness;
  readonly temperature: Tightness;
}

/** Only the thriftiest point is within a `tight` limit; not even that one is when it is `broken`. */
export type Tightness = 'free' | 'tight' | 'broken';

/** Queues at which energy costs as much as a family's accuracy is worth on average. */
const POWER_QUEUE_S = 1.5;
const ENERGY_QUEUE_INFERENCES = 20;
const HEAT_QUEUE_CS = 60;
/** From here on the price alone has not been enough. */
const TIGHT = SATURATED / 2;
/** Below the limit by this much heat begins to cost. */
const HEAT_MARGIN_C = 3;
const PRICE_HOLDS_MS = 2_000;
/** A sensor that was silent for longer says nothing of now. */
const SENSOR_HOLDS_MS = 30_000;
/** Nor does one that tells the same for so long: if it was true, the next levels' heat will move it. */
const FROZEN_AFTER_MS = 120_000;

const FREE: Prices = { power: 0, energy: 0, heat: 0 };

export function noSurcharge(): Surcharge {
  return {
    power: NO_QUEUE,
    energy: NO_QUEUE,
    heat: NO_QUEUE,
    temperature: undefined,
    prices: FREE,
    pricedMs: Number.NEGATIVE_INFINITY,
  };
}

/**
 * Energy of each point, joules. Where it is not known, in proportion to the time of those where it is; without
 * any figure, as if a point took one watt while it runs.
 */
export function costsOf(profile: Profile): readonly number[] {
  let knownJ = 0;
  let knownMs = 0;
  for (const { energyJ, latencyMs } of profile) {
    if (energyJ === undefined) continue;
    knownJ += energyJ;
    knownMs += latencyMs;
  }
  const perMs = knownMs > 0 ? knownJ / knownMs : 1 / 1_000;
  return profile.map(({ energyJ, latencyMs }) => energyJ ?? latencyMs * perMs);
}

/** What a request that states these limits is charged. */
export function chargeOf(
  { power, energy, heat, temperature, prices }: Surcharge,
  { powerW, energyJ, tempC }: Requirement,
  nowMs: number,
): Charge {
  const over = Math.max(powerW === undefined ? 0 : power.over, energyJ === undefined ? 0 : energy.over);
  let price = 0;
  if (powerW !== undefined) price += prices.power;
  if (energyJ !== undefined) price += prices.energy;
  if (tempC !== undefined && heat.limit !== undefined) price += prices.heat;
  const isHot = tempC !== undefined && isTold(temperature, nowMs) && temperature.c >= tempC;
  return {
    price,
    energy: over < TIGHT ? 'free' : tightness(over),
    temperature: isHot ? tightness(heat.over) : 'free',
  };
}

function tightness(over: number): Tightness {
  return over < SATURATED ? 'tight' : 'broken';
}

/** Whether a temperature says something of now. */
function isTold(temperature: Temperature | undefined, nowMs: number): temperature is Temperature {
  if (temperature === undefined || nowMs - temperature.atMs > SENSOR_HOLDS_MS) return false;
  return nowMs - temperature.changedMs <= FROZEN_AFTER_MS;
}

/** Accuracy per joule for a request that states every limit. */
export function fullPrice({ prices }: Surcharge): number {
  return prices.power + prices.energy + prices.heat;
}

/** Lays the limits of the newest request under the queues. */
export function underLimits(
  surcharge: Surcharge,
  { powerW, energyJ, tempC }: Requirement,
  nowMs: number,
): Surcharge {
  return {
    ...surcharge,
    power: stated(surcharge.power, powerW, nowMs),
    energy: stated(surcharge.energy, energyJ, nowMs),
    heat: stated(surcharge.heat, tempC, nowMs),
  };
}

/** Takes the energy of a device over a time in: for a limit on its power. */
export function observeEnergy(surcharge: Surcharge, usedJ: number, overMs: number, nowMs: number): Surcharge {
  const { limit } = surcharge.power;
  if (limit === undefined || !(usedJ >= 0 && overMs > 0 && Number.isFinite(nowMs))) return surcharge;
  const lengths = (usedJ / limit - overMs / 1_000) / POWER_QUEUE_S;
  return { ...surcharge, power: fed(surcharge.power, lengths, nowMs) };
}

/** Takes the energy of one inference that stated a limit on it in. */
export function observeInferenceEnergy(surcharge: Surcharge, usedJ: number, nowMs: number): Surcharge {
  const { limit } = surcharge.energy;
  if (limit === undefined || !(usedJ >= 0)) return surcharge;
  return {
    ...surcharge,
    energy: fed(surcharge.energy, (usedJ / limit - 1) / ENERGY_QUEUE_INFERENCES, nowMs),
  };
}

/** Takes a temperature in. */
export function observeTemperature(surcharge: Surcharge, c: number, nowMs: number): Surcharge {
  if (!Number.isFinite(c) || !Number.isFinite(nowMs)) return surcharge;
  const { heat, temperature } = surcharge;
  const elapsedMs = Math.min(SENSOR_HOLDS_MS, Math.max(0, nowMs - (temperature?.atMs ?? nowMs)));
  const lengths =
    heat.limit === undefined ? 0 : ((c - heat.limit + HEAT_MARGIN_C) * elapsedMs) / 1_000 / HEAT_QUEUE_CS;
  const changedMs = temperature?.c === c ? Math.min(temperature.changedMs, nowMs) : nowMs;
  return {
    ...surcharge,
    heat: fed(heat, lengths, nowMs),
    temperature: { c, atMs: nowMs, changedMs },
  };
}

/** Turns the queues into prices, now and then; those whose sensor says nothing of now are emptied. */
export function priced(surcharge: Surcharge, nowMs: number, profile: Profile): Surcharge {
  const sinceMs = nowMs - surcharge.pricedMs;
  if (sinceMs >= 0 && sinceMs < PRICE_HOLDS_MS) return surcharge;
  const power = emptiedWhenSilent(surcharge.power, nowMs, SENSOR_HOLDS_MS);
  const isWarm = isTold(surcharge.temperature, nowMs);
  const heat = isWarm ? surcharge.heat : { ...surcharge.heat, over: 0 };
  const worth = worthOfEnergy(profile);
  const prices = {
    power: worth * steep(power.over),
    energy: worth * steep(surcharge.energy.over),
    heat: isWarm ? worth * (steep(heat.over) + heatNow(surcharge)) : 0,
  };
  return { ...surcharge, power, heat, prices, pricedMs: nowMs };
}

/** Rises faster than its queue: what needs a high price has used up little until it gets it. */
function steep(over: number): number {
  return over <= 0 ? 0 : over * (1 + over);
}

/** What the newest temperature costs by itself: a queue alone would answer late and swing. */
function heatNow({ heat, temperature }: Surcharge): number {
  if (heat.limit === undefined || temperature === undefined) return 0;
  return Math.max(0, temperature.c - heat.limit + HEAT_MARGIN_C) / HEAT_MARGIN_C;
}

/** Accuracy that a joule buys, from the thriftiest point to the most accurate one. */
function worthOfEnergy(profile: Profile): number {
  const costs = costsOf(profile);
  const accuracies = profile.map(({ accuracy }) => accuracy);
  const apartJ = Math.max(...costs) - Math.min(...costs);
  const apart = Math.max(...accuracies) - Math.min(...accuracies);
  return apartJ > 0 && apart > 0 ? apart / apartJ : 1 / Math.max(...costs, Number.MIN_VALUE);
}
