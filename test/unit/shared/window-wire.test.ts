import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type WindowBody, WindowSchema } from '../../../shared/protocol/window.ts';
import { checkSketches, fromWire, toWire, WireWindowSchema } from '../../../shared/protocol/window-wire.ts';
import { parserOf } from '../../../shared/schema.ts';
import { Sketch } from '../../../shared/sketch.ts';
import { anyWindow, distributionOf } from '../../support/windows.ts';

const parseWire = parserOf(WireWindowSchema);
const parseLong = parserOf(WindowSchema);

const WINDOW: WindowBody = {
  durationMs: 10_000,
  family: 'f'.repeat(64),
  points: [
    {
      pe: 'gpu',
      level: 3,
      inferences: 3,
      misses: 0,
      labelled: 0,
      correct: 0,
      latencyMs: distributionOf([10, 20, 30]),
      energyJ: distributionOf([0.25, 0.5]),
    },
  ],
  switches: 0,
  skipped: 0,
  unreadable: 0,
  failed: 0,
  slowdown: 1,
  requirement: { latencyMs: 50 },
};

/** Every number and text of a value, with its place. */
function leavesOf(value: unknown, place = ''): [place: string, leaf: unknown][] {
  if (typeof value !== 'object' || value === null) return [[place, value]];
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([key, each]) => leavesOf(each, `${place}/${key}`));
}

/** Whether two leaves are the same, numbers to a unit of the seventh digit. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'number' || typeof b !== 'number') return a === b;
  return Math.abs(a - b) <= 1e-6 * Math.abs(b);
}

function travelled(body: WindowBody): WindowBody {
  return fromWire(parseWire(JSON.parse(JSON.stringify(toWire(body))), 'a window'));
}

describe('a window that travels', () => {
  test('keeps every field, and has none that it did not have', () => {
    fc.assert(
      fc.property(anyWindow, (body) => {
        const arrived = travelled(body);
        const [there, here] = [leavesOf(arrived), leavesOf(body)];
        expect(there.map(([place]) => place)).toEqual(here.map(([place]) => place));
        expect(there.filter(([, leaf], index) => !isSame(leaf, here[index]?.[1]))).toEqual([]);
        expect(() => parseLong(arrived, 'the window')).not.toThrow();
      }),
    );
  });

  test('does not change any more once it has travelled', () => {
    fc.assert(
      fc.property(anyWindow, (body) => {
        const arrived = travelled(body);
        expect(travelled(arrived)).toStrictEqual(arrived);
      }),
    );
  });

  test('keeps counts, sketches, the requirement and the desired version exactly', () => {
    fc.assert(
      fc.property(anyWindow, (body) => {
        const exactly = ({ points, requirement, desired, switches, skipped, sheds }: WindowBody) => ({
          points: points.map((of) => [of.inferences, of.misses, of.labelled, of.correct, of.latencyMs.count]),
          sketches: points.map((of) => [of.latencyMs.sketch, of.queueMs?.sketch, of.energyJ?.sketch]),
          rest: { requirement, desired, switches, skipped, sheds },
        });
        expect(exactly(travelled(body))).toEqual(exactly(body));
      }),
    );
  });

  test('has no value beyond its extremes, and no mean of a gauge either', () => {
    fc.assert(
      fc.property(anyWindow, (body) => {
        const { points, gauges = {} } = travelled(body);
        for (const [index, { latencyMs }] of points.entries()) {
          const sent = body.points[index]?.latencyMs;
          expect(latencyMs.min).toBeLessThanOrEqual(sent?.min ?? 0);
          expect(latencyMs.max).toBeGreaterThanOrEqual(sent?.max ?? 0);
        }
        for (const { min, mean, max } of Object.values(gauges)) {
          expect(min <= mean && mean <= max).toBe(true);
        }
      }),
    );
  });
});

test('leaves out what is zero and must be there, and keeps what is zero and need not be', () => {
  const wire = toWire({ ...WINDOW, sheds: 0, drifting: false, outboxRecords: 0 });
  expect(Object.keys(wire).toSorted()).toEqual(['d', 'dr', 'f', 'h', 'o', 'p', 'q', 'w']);
  expect(Object.keys(wire.p[0] ?? {}).toSorted()).toEqual(['E', 'L', 'l', 'n', 'p']);
});

describe('what is not a window is refused', () => {
  const wire = toWire(WINDOW);
  const [point] = wire.p;

  test.each([
    ['a window that is too long', { ...wire, d: 7_200_001 }],
    ['a count that is no whole number', { ...wire, s: 0.5 }],
    ['a count beyond any window', { ...wire, s: 1e10 }],
    ['a count as text', { ...wire, k: '1' }],
    ['a price below zero', { ...wire, c: -1 }],
    ['an amount that would not stay finite in a sum', { ...wire, e: 1e300 }],
    ['a family that is no digest', { ...wire, f: 'main' }],
    ['a version without its epoch', { ...wire, v: [1] }],
    ['too many points', { ...wire, p: Array.from({ length: 257 }, () => point) }],
    ['a point without latencies', { ...wire, p: [{ p: 'cpu', l: 0, n: 1 }] }],
    ['a processing element that is unknown', { ...wire, p: [{ ...point, p: 'npu' }] }],
    ['a distribution that is cut', { ...wire, p: [{ ...point, L: [1, 2, 3, 4] }] }],
    ['a distribution that is too long', { ...wire, p: [{ ...point, L: [1, 2, 3, 4, 'AgA=', 5] }] }],
    ['a sketch that is too long', { ...wire, p: [{ ...point, L: [1, 2, 3, 4, 'A'.repeat(16_385)] }] }],
    ['a gauge that is no number', { ...wire, g: { pw: [null, 1, 2, 3] } }],
    ['a gauge beyond every unit', { ...wire, g: { tc: [0, -1e300, 0, 1] } }],
    ['a quality that is unknown', { ...wire, eq: 'guessed' }],
    ['a requirement that cannot be', { ...wire, q: { missShare: 2 } }],
    ['nothing', null],
  ])('%s', (_, value) => {
    expect(() => parseWire(value, 'a window')).toThrow(expect.objectContaining({ code: 'invalid' }));
  });

  test('and a number that JSON can say and no program can hold', () => {
    const text = JSON.stringify(wire).replace('"d":10000', '"d":1e999');
    expect(() => parseWire(JSON.parse(text), 'a window')).toThrow('a window at /d');
  });

  test('but a key that is not known is passed over', () => {
    expect(fromWire(parseWire({ ...wire, later: [1] }, 'a window'))).toEqual(WINDOW);
  });
});

describe('sketches of a window', () => {
  test('are fine where every one holds what the count beside it says', () => {
    fc.assert(fc.property(anyWindow, (body) => checkSketches(toWire(body)) === undefined));
  });

  test('are named where they are not', () => {
    const withEnergy = (sketch: string): WindowBody => ({
      ...WINDOW,
      points: WINDOW.points.map((of) => ({ ...of, energyJ: { ...distributionOf([1, 2]), sketch } })),
    });
    const fault = (sketch: string) => checkSketches(toWire(withEnergy(sketch)));
    expect(fault('////')).toMatch(/^\/p\/0\/E \(energyJ\): sketch: /);
    expect(fault('no base64!')).toBe('/p/0/E (energyJ): sketch: not base64');
    expect(fault(new Sketch().encode())).toBe('/p/0/E (energyJ): its sketch holds 0 values and not 2');
    expect(fault(distributionOf([5, 6]).sketch)).toBeUndefined();
  });
});

test('two operating points with all their distributions, each over 40 buckets, take little more than a kilobyte', () => {
  const of = distributionOf(Array.from({ length: 100 }, (_, index) => 10 * Math.exp(0.8 * (index / 100))));
  const all = { latencyMs: of, slowdown: of, queueMs: of, energyJ: of, timeMs: 4_999.512_345 };
  const points = WINDOW.points.flatMap((point) => [0, 1].map((level) => ({ ...point, ...all, level })));
  expect(JSON.stringify(toWire({ ...WINDOW, points })).length).toBeLessThan(1_200);
});
