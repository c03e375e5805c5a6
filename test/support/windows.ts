import fc from 'fast-check';
import {
  type Distribution,
  GAUGES,
  type PointWindow,
  type WindowBody,
} from '../../shared/protocol/window.ts';
import { Sketch } from '../../shared/sketch.ts';

/** Values of one kind, as a window says them. */
export function distributionOf(values: readonly number[]): Distribution {
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  return {
    count: values.length,
    sum: values.reduce((sum, value) => sum + value, 0),
    min: values.length === 0 ? 0 : Math.min(...values),
    max: Math.max(0, ...values),
    sketch: sketch.encode(),
  };
}

const count = fc.nat({ max: 1_000_000_000 });
const amount = fc.double({ min: 0, max: 1e15, noNaN: true });
const reading = fc.double({ min: -1e6, max: 1e12, noNaN: true }).map((value) => value + 0);
const distribution = fc
  .array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 20 })
  .map(distributionOf);
const gauge = fc
  .tuple(fc.tuple(reading, reading, reading), amount)
  .map(([three, ms]) => three.toSorted((a, b) => a - b).concat(ms))
  .map(([min = 0, mean = 0, max = 0, ms = 0]) => ({ mean, min, max, ms }));

const optionalOf = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(fields, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;

const point: fc.Arbitrary<PointWindow> = fc
  .tuple(
    fc.record({
      pe: fc.constantFrom('cpu' as const, 'gpu' as const),
      level: count,
      inferences: count,
      misses: count,
      labelled: count,
      correct: count,
      latencyMs: distribution,
    }),
    optionalOf({
      timeMs: amount,
      confidenceSum: amount,
      audits: count,
      agreed: count,
      slowdown: distribution,
      queueMs: distribution,
      energyJ: distribution,
    }),
  )
  .map(([required, optional]) => ({ ...required, ...optional }));

/** Any window that an agent might make, with every field there and not there. */
export const anyWindow: fc.Arbitrary<WindowBody> = fc
  .tuple(
    fc.record({
      durationMs: fc.double({ min: 0, max: 7_200_000, noNaN: true }),
      family: fc.stringMatching(/^[0-9a-f]{64}$/),
      points: fc.array(point, { maxLength: 4 }),
      switches: count,
      skipped: count,
      unreadable: count,
      failed: count,
      slowdown: amount,
      requirement: optionalOf({
        latencyMs: fc.double({ min: 0.001, max: 600_000, noNaN: true }),
        missShare: fc.constantFrom(0, 0.05, 0.999_999_999),
        priority: fc.constantFrom('accuracy', 'latency,energy'),
      }),
    }),
    optionalOf({
      desired: fc.record({ epoch: fc.integer({ min: 1 }), n: fc.nat() }),
      sheds: count,
      price: amount,
      energyJ: amount,
      energyMs: amount,
      energyQuality: fc.constantFrom('measured' as const, 'modelled' as const, 'unknown' as const),
      gauges: optionalOf(Object.fromEntries(GAUGES.map((name) => [name, gauge]))),
      outboxRecords: count,
      outboxAgeMs: amount,
      drifting: fc.boolean(),
    }),
  )
  .map(([required, optional]) => ({ ...required, ...optional }));
