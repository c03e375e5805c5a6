import { DDSketch } from '@datadog/sketches-js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Sketch } from '../../../shared/sketch.ts';

/** Latencies that occur, in ms: from 1 us to an hour. */
const latency = fc.double({ min: 0.001, max: 3_600_000, noNaN: true });
const latencies = fc.array(latency, { minLength: 1, maxLength: 200 });
/** Anything that a sketch keeps apart, zeros and repeated values among it. */
const anyValue = fc.oneof(
  latency,
  fc.constantFrom(0, 5, 5.01),
  fc.double({ min: 0, max: 1e35, noNaN: true }),
);
const values = fc.array(anyValue, { maxLength: 300 });
const QUANTILES = [0, 0.01, 0.25, 0.5, 0.95, 0.99, 0.999, 1];

function sketchOf(all: readonly number[]): Sketch {
  const sketch = new Sketch();
  for (const value of all) sketch.add(value);
  return sketch;
}

function quantilesOf(sketch: Sketch): (number | undefined)[] {
  return QUANTILES.map((quantile) => sketch.quantile(quantile));
}

function merged(...sketches: readonly Sketch[]): Sketch {
  const total = new Sketch();
  for (const sketch of sketches) total.merge(sketch);
  return total;
}

function base64(...bytes: readonly number[]): string {
  return Buffer.from(bytes).toString('base64');
}

/** Whether every quantile is within 1 % of the value of its rank. */
function isClose(all: readonly number[], sketch: Sketch): boolean {
  const sorted = all.toSorted((a, b) => a - b);
  return QUANTILES.every((quantile) => {
    const exact = sorted[Math.floor(1 + quantile * (sorted.length - 1)) - 1] ?? Number.NaN;
    return Math.abs((sketch.quantile(quantile) ?? Number.NaN) - exact) <= exact * 0.01 * (1 + 1e-9);
  });
}

describe('quantiles', () => {
  test('each is within 1 % of the value of its rank', () => {
    fc.assert(fc.property(latencies, (all) => isClose(all, sketchOf(all))));
  });

  test('each is the one that the library gives, from the same bucket', () => {
    fc.assert(
      fc.property(latencies, (all) => {
        const library = new DDSketch({ relativeAccuracy: 0.01 });
        for (const value of all) library.accept(value);
        const sketch = sketchOf(all);
        for (const quantile of [0, 0.25, 0.5, 0.75, 1]) {
          expect(sketch.quantile(quantile)).toBe(library.getValueAtQuantile(quantile));
        }
      }),
    );
  });

  test('a value that is added many times counts as often', () => {
    const sketch = sketchOf([1]);
    sketch.add(100, 1_000_000);
    sketch.add(0, 3);
    expect(sketch.count).toBe(1_000_004);
    expect(sketch.quantile(0.5)).toBeCloseTo(100, 0);
    expect(sketch.quantile(0)).toBe(0);
    expect(Sketch.decode(sketch.encode()).encode()).toBe(sketch.encode());
  });

  test('an empty sketch has none', () => {
    expect(new Sketch().quantile(0.5)).toBeUndefined();
    expect(Sketch.decode(new Sketch().encode()).count).toBe(0);
  });

  test('values beyond every unit stay as the largest and as nothing', () => {
    const sketch = sketchOf([1e-300, Number.MAX_VALUE]);
    expect(sketch.quantile(0)).toBe(0);
    expect(sketch.quantile(1)).toBeGreaterThan(1e35);
    expect(Sketch.decode(sketch.encode()).count).toBe(2);
  });

  test.each([Number.NaN, -1, Number.POSITIVE_INFINITY])('%d is not taken', (value) => {
    expect(() => new Sketch().add(value)).toThrow('finite values from zero');
  });
});

describe('merging', () => {
  test('is the same as having added all values to one sketch', () => {
    fc.assert(
      fc.property(fc.array(values, { maxLength: 6 }), (parts) => {
        const total = merged(...parts.map(sketchOf));
        expect(total.encode()).toBe(sketchOf(parts.flat()).encode());
        expect(total.count).toBe(parts.flat().length);
      }),
    );
  });

  test('does not depend on the order, and leaves what is merged as it was', () => {
    fc.assert(
      fc.property(values, values, (left, right) => {
        const [a, b] = [sketchOf(left), sketchOf(right)];
        expect(merged(a, b).encode()).toBe(merged(b, a).encode());
        expect(a.encode()).toBe(sketchOf(left).encode());
      }),
    );
  });

  test('keeps quantiles within 1 %', () => {
    fc.assert(
      fc.property(fc.array(latencies, { minLength: 1, maxLength: 8 }), (windows) =>
        isClose(windows.flat(), merged(...windows.map((all) => Sketch.decode(sketchOf(all).encode())))),
      ),
    );
  });

  test('with itself doubles every count', () => {
    const sketch = sketchOf([0, 1, 1, 50]);
    sketch.merge(sketch);
    expect(sketch.encode()).toBe(sketchOf([0, 0, 1, 1, 1, 1, 50, 50]).encode());
  });

  test('bytes, also from the middle of a row, is the same as merging the sketch', () => {
    fc.assert(
      fc.property(values, values, fc.nat({ max: 9 }), (left, right, before) => {
        const bytes = sketchOf(right).encodeBytes();
        const row = Buffer.concat([Buffer.alloc(before, 0xff), bytes, Buffer.alloc(3, 0xff)]);
        const total = sketchOf(left);
        total.mergeBytes(row, before, before + bytes.length);
        expect(total.encode()).toBe(merged(sketchOf(left), sketchOf(right)).encode());
      }),
    );
  });
});

describe('encoding', () => {
  test('loses nothing, as text and as bytes', () => {
    fc.assert(
      fc.property(values, (all) => {
        const sketch = sketchOf(all);
        for (const decoded of [Sketch.decode(sketch.encode()), Sketch.decodeBytes(sketch.encodeBytes())]) {
          expect(decoded.count).toBe(all.length);
          expect(quantilesOf(decoded)).toEqual(quantilesOf(sketch));
          expect(decoded.encode()).toBe(sketch.encode());
        }
      }),
    );
  });

  test('keeps counts of every size and buckets at every distance', () => {
    const counts = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 2 ** 50 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(anyValue, counts), { maxLength: 7 }), (pairs) => {
        const sketch = new Sketch();
        for (const [value, count] of pairs) sketch.add(value, count);
        const decoded = Sketch.decode(sketch.encode());
        expect(decoded.count).toBe(pairs.reduce((sum, [, count]) => sum + count, 0));
        expect(decoded.encode()).toBe(sketch.encode());
      }),
    );
  });

  test('takes about a byte for each bucket of a window', () => {
    const all = Array.from({ length: 200 }, (_, index) => 10 * Math.exp(0.8 * (index / 200)));
    expect(sketchOf(all).encodeBytes().length).toBeLessThan(46);
  });

  test('what was taken out is not changed by the next sketch', () => {
    const bytes = sketchOf([1, 2, 3]).encodeBytes();
    sketchOf([7, 8, 9, 10]).encodeBytes();
    expect(Sketch.decodeBytes(bytes).encode()).toBe(sketchOf([1, 2, 3]).encode());
  });
});

describe('format 1, as earlier versions wrote it', () => {
  const LATENCIES =
    'AQAeEAITAgoCCQIJAgcCCAIEAggCBQIGAgYCBAIGAgUCBAIGAgMCBQIGAgQCBQIGAgMCBgIGAgQCBgIEAgUCCAIEAgYCBgIHAgYCCgIHAgsCDgIa';

  test.each([
    ['AQA=', []],
    ['AQM=', [0, 0, 0]],
    [LATENCIES, Array.from({ length: 300 }, (_, index) => 2 * Math.exp(Math.sin(index) * 0.4))],
    ['AQHjCgGyBQGyBQGiAQOSBAGyBgE=', [1e-6, 0.001, 0, 1, 5, 5, 5, 1_000, 3.6e6]],
    ['AQAAAQ==', [1]],
    ['AQD+AcQTCsQT', Array.from({ length: 5_000 }, (_, index) => (index % 2 === 0 ? 12.5 : 14))],
  ])('%s is read as what it was made from', (text, all) => {
    expect(Sketch.decode(text).encode()).toBe(sketchOf(all).encode());
    expect(Sketch.check(text)).toBe(all.length);
  });
});

describe('what is no sketch', () => {
  test.each([
    ['nothing', ''],
    ['another format', base64(3, 0)],
    ['a cut number', base64(2, 0, 0x80)],
    ['a lowest bucket without its count', base64(2, 0, 4)],
    ['a bucket with no values', base64(2, 0, 4, 0)],
    ['a lowest bucket out of range', base64(2, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 4)],
    ['a later bucket out of range', base64(2, 0, 4, 7, 0xff, 0xff, 0x7f)],
    ['a count that is cut', base64(2, 0, 4, 0x84)],
    ['a count without end', base64(2, 0, 4, ...new Array<number>(12).fill(0xff))],
    ['more values than can be counted', base64(2, 0, 4, 0xfc, ...new Array<number>(7).fill(0xff), 0x7f)],
    ['a bucket of format 1 without its count', base64(1, 0, 4)],
    ['a bucket of format 1 with no values', base64(1, 0, 4, 0)],
    ['a bucket of format 1 out of range', base64(1, 0, 0xff, 0xff, 0x7f, 1)],
    ['text that is not base64', '{"a":1}!'],
    ['base64 with something in between', `${sketchOf([1, 2, 3]).encode().slice(0, 4)} *?%`],
    ['text that is too long', sketchOf([1]).encode().padEnd(20_000, 'A')],
  ])('%s is refused, when it is read as when it is checked', (_, text) => {
    const refusal = expect.objectContaining({ code: 'invalid', message: expect.stringMatching(/^sketch: /) });
    expect(() => Sketch.decode(text)).toThrow(refusal);
    expect(() => Sketch.check(text)).toThrow(refusal);
  });

  /** Any bytes, and encoded sketches of which one byte is changed. */
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.uint8Array({ maxLength: 40 }).map((rest) => Uint8Array.of(2, 0, ...rest)),
    fc.uint8Array({ maxLength: 40 }).map((rest) => Uint8Array.of(1, 0, ...rest)),
    fc.tuple(values, fc.nat(), fc.nat({ max: 255 })).map(([all, at, byte]) => {
      const encoded = sketchOf(all).encodeBytes();
      encoded[at % encoded.length] = byte;
      return encoded;
    }),
  );

  test('any bytes at all are either a sketch or refused as invalid, and a check says the same', () => {
    fc.assert(
      fc.property(bytes, (all) => {
        const text = Buffer.from(all).toString('base64');
        try {
          const sketch = Sketch.decode(text);
          expect(Sketch.check(text)).toBe(sketch.count);
          expect(Number.isFinite(sketch.quantile(0.5) ?? 0)).toBe(true);
          expect(Sketch.decode(sketch.encode()).encode()).toBe(sketch.encode());
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid' });
          expect(() => Sketch.check(text)).toThrow();
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('a few bytes cannot make a sketch large', () => {
    const text = base64(2, 0, 0xff, 0x3f, 4, 7, 0xfc, 0x3f);
    const before = process.memoryUsage().arrayBuffers;
    const sketches = Array.from({ length: 50 }, () => Sketch.decode(text));
    expect(sketches[0]?.count).toBe(2);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 200_000);
  });
});
