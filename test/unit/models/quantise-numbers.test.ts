import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { affineOf, MIN_SCALE } from '../../../models/ofa/quantise/affine.ts';
import { quantiseLayer } from '../../../models/ofa/quantise/weights.ts';
import { roundHalfEven } from '../../../models/ofa/round.ts';

/** What rounding scales to 32 bits may add to half a step. */
const SLACK = 1 + 1e-4;

const float = fc.float({ min: -1e4, max: 1e4, noNaN: true, noDefaultInfinity: true });
const anyRange = fc.tuple(float, float).map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) }));

/** As ONNX's QuantizeLinear and DequantizeLinear do it. */
function throughUint8(value: number, { scale, zeroPoint }: { scale: number; zeroPoint: number }): number {
  const number = Math.min(255, Math.max(0, roundHalfEven(value / scale) + zeroPoint));
  return (number - zeroPoint) * scale;
}

describe('uint8 numbers of a range', () => {
  test('are off by half a step at most, and not at all for zero', () => {
    fc.assert(
      fc.property(anyRange, fc.double({ min: 0, max: 1, noNaN: true }), (range, place) => {
        const affine = affineOf(range);
        const value = range.min + place * (range.max - range.min);
        expect(Math.abs(throughUint8(value, affine) - value)).toBeLessThanOrEqual((affine.scale / 2) * SLACK);
        expect(throughUint8(0, affine)).toBe(0);
        expect(Math.fround(affine.scale)).toBe(affine.scale);
        expect(affine.zeroPoint).toBeGreaterThanOrEqual(0);
        expect(affine.zeroPoint).toBeLessThanOrEqual(255);
      }),
    );
  });

  test('clip to the nearest end what lies beyond', () => {
    const affine = affineOf({ min: -1, max: 3 });
    expect(throughUint8(100, affine)).toBeCloseTo(3, 1);
    expect(throughUint8(-100, affine)).toBeCloseTo(-1, 1);
  });

  test('begin with zero where nothing is negative: ReLU is part of the quantisation', () => {
    expect(affineOf({ min: 0.5, max: 2 })).toEqual({ scale: Math.fround(2 / 255), zeroPoint: 0 });
    expect(throughUint8(-7, affineOf({ min: 0, max: 2 }))).toBe(0);
  });

  test('exist for an activation that is always the same', () => {
    expect(affineOf({ min: 0, max: 0 })).toEqual({ scale: MIN_SCALE, zeroPoint: 0 });
    expect(throughUint8(4, affineOf({ min: 4, max: 4 }))).toBeCloseTo(4, 6);
    expect(throughUint8(-4, affineOf({ min: -4, max: -4 }))).toBeCloseTo(-4, 6);
  });

  test('are rounded with halves to the even neighbour', () => {
    expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4999, -0.2].map((x) => roundHalfEven(x) + 0)).toEqual([
      -2, -2, 0, 0, 2, 2, 2, 0,
    ]);
  });
});

const weights = fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 1, maxLength: 24 });
const scaleArbitrary = fc.double({ min: 1e-4, max: 1, noNaN: true }).map(Math.fround);

describe('int8 weights', () => {
  test('are off by half a step of their channel at most, and the bias by half a step of the products', () => {
    fc.assert(
      fc.property(
        weights,
        fc.float({ min: -8, max: 8, noNaN: true }),
        scaleArbitrary,
        (values, bias, inputScale) => {
          const data = Float32Array.from([...values, ...values.map((value) => value / 100)]);
          const layer = {
            name: 'layer',
            weight: { shape: [2, values.length, 1, 1], data },
            bias: Float32Array.of(bias, -bias),
          };
          const quantised = quantiseLayer(layer, inputScale);
          for (const [index, value] of data.entries()) {
            const scale = quantised.scales[index < values.length ? 0 : 1] ?? 0;
            expect(Math.abs((quantised.weight[index] ?? 0) * scale - value)).toBeLessThanOrEqual(
              (scale / 2) * SLACK,
            );
          }
          for (const [channel, scale] of quantised.biasScales.entries()) {
            expect(scale).toBe(Math.fround(inputScale * (quantised.scales[channel] ?? 0)));
            const error = (quantised.bias?.[channel] ?? 0) * scale - (layer.bias[channel] ?? 0);
            expect(Math.abs(error)).toBeLessThanOrEqual((scale / 2) * SLACK);
          }
        },
      ),
    );
  });

  test('cannot overflow the 16 bits in which some processors add two products', () => {
    fc.assert(
      fc.property(weights, (values) => {
        const weight = { shape: [1, values.length, 1, 1], data: Float32Array.from(values) };
        const quantised = quantiseLayer({ name: 'layer', weight }, 1).weight;
        for (let index = 0; index < quantised.length; index += 2) {
          const pair = (quantised[index] ?? 0) + (quantised[index + 1] ?? 0);
          expect(255 * Math.abs(pair)).toBeLessThanOrEqual(32_767);
        }
      }),
    );
  });

  test('of a depthwise layer use the whole of 8 bits', () => {
    const data = Float32Array.of(1, 1, -1, 0.5);
    const layer = { name: 'layer', weight: { shape: [2, 1, 1, 2], data }, groups: 2 };
    expect([...quantiseLayer(layer, 1).weight]).toEqual([127, 127, -127, 64]);
    expect(quantiseLayer(layer, 1).bias).toBeUndefined();
  });

  test('that are all zero leave the bias as exact as it was', () => {
    const layer = {
      name: 'layer',
      weight: { shape: [2, 2, 1, 1], data: new Float32Array(4) },
      bias: Float32Array.of(0.75, 0),
    };
    const { weight, bias, biasScales } = quantiseLayer(layer, Math.fround(0.02));
    expect([...weight]).toEqual([0, 0, 0, 0]);
    expect((bias?.[0] ?? 0) * (biasScales[0] ?? 0)).toBeCloseTo(0.75, 7);
    expect(bias?.[1]).toBe(0);
  });

  test('that are not finite are refused, by the name of their layer and channel', () => {
    const layer = (weight: number, bias: number) => ({
      name: 'blocks.3',
      weight: { shape: [2, 1, 1, 1], data: Float32Array.of(1, weight) },
      bias: Float32Array.of(0, bias),
    });
    const message = 'int8: blocks.3, channel 1: weights or bias are not finite';
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => quantiseLayer(layer(value, 0), 1)).toThrow(message);
      expect(() => quantiseLayer(layer(1, value), 1)).toThrow(message);
    }
  });
});
