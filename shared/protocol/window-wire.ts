import Type, { type Static, type TSchema } from 'typebox';
import { ceilDigits, floorDigits, roundDigits } from '../digits.ts';
import { describeError } from '../errors.ts';
import { given } from '../given.ts';
import { Sketch } from '../sketch.ts';
import { VersionSchema } from './desired.ts';
import { envelopeOf } from './envelope.ts';
import {
  AmountSchema,
  CountSchema,
  DISTRIBUTIONS,
  type Distribution,
  type DistributionName,
  DistributionSchema,
  EnergyQualitySchema,
  GAUGES,
  type GaugeName,
  GaugeSchema,
  MAX_POINTS,
  type PointWindow,
  ProcessingElementSchema,
  type WindowBody,
  WindowSchema,
} from './window.ts';

/*
 * Windows as they travel and as they are stored: the fields of `window.ts` under short names, numbers to seven
 * digits. No other file knows the short names. A count that must be there is left out while it is zero.
 */

/** The same schema with its long name, for readers of the AsyncAPI document. */
function named<S extends TSchema>(description: string, schema: S): S {
  return { ...schema, description };
}

const values = DistributionSchema.properties;
const WireDistributionSchema = Type.Tuple([values.count, values.sum, values.min, values.max, values.sketch]);
type WireDistribution = Static<typeof WireDistributionSchema>;

const gauge = GaugeSchema.properties;
const WireGaugeSchema = Type.Tuple([gauge.mean, gauge.min, gauge.max, gauge.ms]);

const DISTRIBUTION_KEYS = { latencyMs: 'L', slowdown: 'W', queueMs: 'Q', energyJ: 'E' } as const;

const GAUGE_KEYS = {
  powerW: 'pw',
  tempC: 'tc',
  cpuBusy: 'cb',
  gpuBusy: 'gb',
  cpuFreqHz: 'cf',
  gpuFreqHz: 'gf',
  memAvailableBytes: 'ma',
  rssBytes: 'rs',
  queue: 'qu',
  cpuPressure: 'cp',
} as const satisfies Record<GaugeName, string>;

const distributionOf = (name: DistributionName) =>
  named(`${name}: count, sum, min, max, sketch`, WireDistributionSchema);

const WirePointSchema = Type.Object({
  p: named('pe', ProcessingElementSchema),
  l: named('level', CountSchema),
  n: named('inferences', CountSchema),
  m: Type.Optional(named('misses', CountSchema)),
  b: Type.Optional(named('labelled', CountSchema)),
  c: Type.Optional(named('correct', CountSchema)),
  t: Type.Optional(named('timeMs', AmountSchema)),
  cs: Type.Optional(named('confidenceSum', AmountSchema)),
  a: Type.Optional(named('audits', CountSchema)),
  ag: Type.Optional(named('agreed', CountSchema)),
  [DISTRIBUTION_KEYS.latencyMs]: distributionOf('latencyMs'),
  [DISTRIBUTION_KEYS.slowdown]: Type.Optional(distributionOf('slowdown')),
  [DISTRIBUTION_KEYS.queueMs]: Type.Optional(distributionOf('queueMs')),
  [DISTRIBUTION_KEYS.energyJ]: Type.Optional(distributionOf('energyJ')),
});
type WirePoint = Static<typeof WirePointSchema>;

const WireGaugesSchema = Type.Partial(
  Type.Object(
    Object.fromEntries(
      GAUGES.map((name) => [GAUGE_KEYS[name], named(`${name}: mean, min, max, ms`, WireGaugeSchema)]),
    ) as Record<(typeof GAUGE_KEYS)[GaugeName], typeof WireGaugeSchema>,
  ),
);
type WireGauges = Static<typeof WireGaugesSchema>;

const body = WindowSchema.properties;
const version = VersionSchema.properties;

/** A window under its short names. */
export const WireWindowSchema = Type.Object({
  d: named('durationMs', body.durationMs),
  f: named('family', body.family),
  v: Type.Optional(named('desired: epoch, n', Type.Tuple([version.epoch, version.n]))),
  p: named('points', Type.Array(WirePointSchema, { maxItems: MAX_POINTS })),
  s: Type.Optional(named('switches', CountSchema)),
  k: Type.Optional(named('skipped', CountSchema)),
  u: Type.Optional(named('unreadable', CountSchema)),
  x: Type.Optional(named('failed', CountSchema)),
  h: Type.Optional(named('sheds', CountSchema)),
  w: named('slowdown', body.slowdown),
  c: Type.Optional(named('price', AmountSchema)),
  e: Type.Optional(named('energyJ', AmountSchema)),
  em: Type.Optional(named('energyMs', AmountSchema)),
  eq: Type.Optional(named('energyQuality', EnergyQualitySchema)),
  g: Type.Optional(named('gauges', WireGaugesSchema)),
  o: Type.Optional(named('outboxRecords', CountSchema)),
  oa: Type.Optional(named('outboxAgeMs', AmountSchema)),
  dr: Type.Optional(named('drifting', Type.Boolean())),
  q: named('requirement', body.requirement),
});
export type WireWindow = Static<typeof WireWindowSchema>;

export const WireWindowEnvelopeSchema = envelopeOf(WireWindowSchema);
export type WireWindowEnvelope = Static<typeof WireWindowEnvelopeSchema>;

/** What topic `t` carries: one window, or a batch. */
export const WireTelemetrySchema = Type.Union([
  WireWindowEnvelopeSchema,
  Type.Array(WireWindowEnvelopeSchema, { minItems: 1, maxItems: 1_000 }),
]);

/** A count that must be there, for the wire. */
function unlessZero(value: number): number | undefined {
  return value === 0 ? undefined : value;
}

/** The wire's precision, in significant digits: far finer than any sensor, and shorter than a float. */
const DIGITS = 7;

function round(value: number): number {
  return roundDigits(value, DIGITS);
}

function roundGiven(value: number | undefined): number | undefined {
  return value === undefined ? undefined : round(value);
}

/** The extremes go outwards, so that no value lies beyond them. */
function toDistribution(from: Distribution): WireDistribution {
  return [
    from.count,
    round(from.sum),
    floorDigits(from.min, DIGITS),
    ceilDigits(from.max, DIGITS),
    from.sketch,
  ];
}

function fromDistribution([count, sum, min, max, sketch]: WireDistribution): Distribution {
  return { count, sum, min, max, sketch };
}

function toPoint(from: PointWindow): WirePoint {
  return {
    p: from.pe,
    l: from.level,
    n: from.inferences,
    ...given({
      m: unlessZero(from.misses),
      b: unlessZero(from.labelled),
      c: unlessZero(from.correct),
      t: roundGiven(from.timeMs),
      cs: roundGiven(from.confidenceSum),
      a: from.audits,
      ag: from.agreed,
    }),
    L: toDistribution(from.latencyMs),
    ...given({
      W: from.slowdown && toDistribution(from.slowdown),
      Q: from.queueMs && toDistribution(from.queueMs),
      E: from.energyJ && toDistribution(from.energyJ),
    }),
  };
}

function fromPoint(wire: WirePoint): PointWindow {
  return {
    pe: wire.p,
    level: wire.l,
    inferences: wire.n,
    misses: wire.m ?? 0,
    labelled: wire.b ?? 0,
    correct: wire.c ?? 0,
    latencyMs: fromDistribution(wire.L),
    ...given({
      timeMs: wire.t,
      confidenceSum: wire.cs,
      audits: wire.a,
      agreed: wire.ag,
      slowdown: wire.W && fromDistribution(wire.W),
      queueMs: wire.Q && fromDistribution(wire.Q),
      energyJ: wire.E && fromDistribution(wire.E),
    }),
  };
}

type Gauges = NonNullable<WindowBody['gauges']>;

/** Rounding keeps order: the mean stays between the extremes. */
function toGauges(gauges: Gauges): WireGauges {
  const wire: WireGauges = {};
  for (const name of GAUGES) {
    const from = gauges[name];
    if (from === undefined) continue;
    wire[GAUGE_KEYS[name]] = [round(from.mean), round(from.min), round(from.max), round(from.ms)];
  }
  return wire;
}

function fromGauges(wire: WireGauges): Gauges {
  const gauges: Gauges = {};
  for (const name of GAUGES) {
    const from = wire[GAUGE_KEYS[name]];
    if (from !== undefined) gauges[name] = { mean: from[0], min: from[1], max: from[2], ms: from[3] };
  }
  return gauges;
}

/**
 * A window as it travels. Counts are exact, and so is the requirement; other numbers are rounded to seven
 * significant digits, least values downwards and greatest upwards.
 */
export function toWire(from: WindowBody): WireWindow {
  return {
    d: round(from.durationMs),
    f: from.family,
    p: from.points.map(toPoint),
    w: round(from.slowdown),
    q: from.requirement,
    ...given({
      v: from.desired && ([from.desired.epoch, from.desired.n] as [number, number]),
      s: unlessZero(from.switches),
      k: unlessZero(from.skipped),
      u: unlessZero(from.unreadable),
      x: unlessZero(from.failed),
      h: from.sheds,
      c: roundGiven(from.price),
      e: roundGiven(from.energyJ),
      em: roundGiven(from.energyMs),
      eq: from.energyQuality,
      g: from.gauges && toGauges(from.gauges),
      o: from.outboxRecords,
      oa: roundGiven(from.outboxAgeMs),
      dr: from.drifting,
    }),
  };
}

/** The window that a text of the wire says. */
export function fromWire(wire: WireWindow): WindowBody {
  return {
    durationMs: wire.d,
    family: wire.f,
    points: wire.p.map(fromPoint),
    switches: wire.s ?? 0,
    skipped: wire.k ?? 0,
    unreadable: wire.u ?? 0,
    failed: wire.x ?? 0,
    slowdown: wire.w,
    requirement: wire.q,
    ...given({
      desired: wire.v && { epoch: wire.v[0], n: wire.v[1] },
      sheds: wire.h,
      price: wire.c,
      energyJ: wire.e,
      energyMs: wire.em,
      energyQuality: wire.eq,
      gauges: wire.g && fromGauges(wire.g),
      outboxRecords: wire.o,
      outboxAgeMs: wire.oa,
      drifting: wire.dr,
    }),
  };
}

/**
 * Reads every sketch of a window that fits the schema, and compares how many values it holds with the count
 * beside it. @returns what is wrong, undefined where nothing is
 */
export function checkSketches(wire: WireWindow): string | undefined {
  for (const [index, of] of wire.p.entries()) {
    for (const name of DISTRIBUTIONS) {
      const key = DISTRIBUTION_KEYS[name];
      const fault = of[key] && faultOf(of[key]);
      if (fault !== undefined) return `/p/${index}/${key} (${name}): ${fault}`;
    }
  }
  return undefined;
}

function faultOf([count, , , , sketch]: WireDistribution): string | undefined {
  try {
    const held = Sketch.check(sketch);
    return held === count ? undefined : `its sketch holds ${held} values and not ${count}`;
  } catch (error) {
    return describeError(error);
  }
}
