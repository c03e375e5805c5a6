import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Sketch } from '../../../shared/sketch.ts';

/** Latencies that occur, in ms: from 1 us to an hour. */
const latency = fc.double({ min: 0.001, max: 3_600_000, noNaN: true });
const latencies = fc.array(latency, { minLength: 1, maxLength: 200 });
const QUANTILES = [0, 0.25, 0.5, 0.95, 0.99, 1];

function sketchOf(values: readonly number[]): Sketch {
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  return sketch;
}

function quantilesOf(sketch: Sketch): (number | undefined)[] {
  return QUANTILES.map((quantile) => sketch.quantile(quantile));
}

/** Whether `actual` is within 1 % of the value of that rank. */
function isClose(sorted: readonly number[], quantile: number, actual: number | undefined): boolean {
  const exact = sorted[Math.floor(quantile * (sorted.length - 1))] ?? Number.NaN;
  return Math.abs((actual ?? Number.NaN) - exact) <= exact * 0.01 * (1 + 1e-9);
}

test('every quantile is within 1 % of the value of its rank', () => {
  fc.assert(
    fc.property(latencies, (values) => {
      const sketch = sketchOf(values);
      const sorted = values.toSorted((a, b) => a - b);
      return QUANTILES.every((quantile) => isClose(sorted, quantile, sketch.quantile(quantile)));
    }),
  );
});

test('merging is the same as having added all values to one sketch, in whatever order', () => {
  fc.assert(
    fc.property(latencies, latencies, (left, right) => {
      const merged = sketchOf(left);
      merged.merge(sketchOf(right));
      const reversed = sketchOf(right);
      reversed.merge(sketchOf(left));
      const union = sketchOf([...left, ...right]);
      expect(quantilesOf(merged)).toEqual(quantilesOf(union));
      expect(quantilesOf(reversed)).toEqual(quantilesOf(union));
      expect(merged.count).toBe(left.length + right.length);
    }),
  );
});

test('encoding and decoding loses nothing, zeros and repeated values included', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(latency, fc.constantFrom(0, 5, 5.01)), { maxLength: 500 }), (values) => {
      const sketch = sketchOf(values);
      const decoded = Sketch.decode(sketch.encode());
      expect(decoded.count).toBe(values.length);
      expect(quantilesOf(decoded)).toEqual(quantilesOf(sketch));
      expect(decoded.encode()).toBe(sketch.encode());
    }),
  );
});

test('merging what was decoded keeps quantiles within 1 %', () => {
  fc.assert(
    fc.property(fc.array(latencies, { minLength: 1, maxLength: 8 }), (windows) => {
      const total = new Sketch();
      for (const values of windows) total.merge(Sketch.decode(sketchOf(values).encode()));
      const sorted = windows.flat().toSorted((a, b) => a - b);
      return QUANTILES.every((quantile) => isClose(sorted, quantile, total.quantile(quantile)));
    }),
  );
});

test('an empty sketch has no quantiles', () => {
  expect(new Sketch().quantile(0.5)).toBeUndefined();
  expect(Sketch.decode(new Sketch().encode()).count).toBe(0);
});

test('a window of a thousand like latencies takes less than a hundred bytes', () => {
  const values = Array.from({ length: 1_000 }, (_, index) => 2 + (index % 10) / 10);
  expect(sketchOf(values).encode().length).toBeLessThan(100);
});

test.each([
  ['nothing', ''],
  ['another format', Buffer.from([2, 0]).toString('base64')],
  ['a cut number', Buffer.from([1, 0, 0x80]).toString('base64')],
  ['a bucket without its count', Buffer.from([1, 0, 4]).toString('base64')],
  ['a bucket with no values', Buffer.from([1, 0, 4, 0]).toString('base64')],
  ['a bucket out of range', Buffer.from([1, 0, 0xff, 0xff, 0x7f, 1]).toString('base64')],
])('%s is refused', (_, text) => {
  expect(() => Sketch.decode(text)).toThrow(expect.objectContaining({ code: 'invalid' }));
});

test('any text at all is either a sketch or refused as invalid', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = Buffer.from([1, ...bytes]).toString('base64');
      try {
        const quantile = Sketch.decode(text).quantile(0.5);
        return quantile === undefined || Number.isFinite(quantile);
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid' });
        return true;
      }
    }),
    { numRuns: 500 },
  );
});
