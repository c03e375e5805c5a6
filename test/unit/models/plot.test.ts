import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { undominated } from '../../../models/pareto.ts';
import { accuracyAxis, latencyAxis, logTicks, niceTicks } from '../../../models/plot/axis.ts';
import { placeLabels } from '../../../models/plot/place-labels.ts';
import { type PlotPoint, type PlotSeries, shortened } from '../../../models/plot/series.ts';
import { paretoSvg } from '../../../models/plot/svg.ts';
import { paretoText } from '../../../models/plot/terminal.ts';
import { AppError } from '../../../shared/errors.ts';

const SIZE = { width: 60, height: 16 } as const;
const LEVELS: readonly PlotPoint[] = [
  { latencyMs: 0.8, accuracy: 0.9097, standardError: 0.003, label: 'level 0' },
  { latencyMs: 1.2, accuracy: 0.919, label: 'level 1' },
  { latencyMs: 2.4, accuracy: 0.9305, label: 'level 2', marker: 'square' },
];

function front(points: readonly PlotPoint[], more: Partial<PlotSeries> = {}): PlotSeries {
  return { name: 'CPU', role: 'front', points, ...more };
}

const points = fc.array(
  fc.record({
    latencyMs: fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
    accuracy: fc.double({ min: 0, max: 1, noNaN: true }),
    standardError: fc.double({ min: 0, max: 1, noNaN: true }),
    label: fc.string({ unit: 'binary', maxLength: 60 }),
  }),
  { minLength: 1, maxLength: 8 },
);
const seriesLists = fc.array(
  fc.record({
    name: fc.string({ unit: 'binary', maxLength: 100 }),
    role: fc.constantFrom('front' as const, 'samples' as const),
    line: fc.constantFrom('step' as const, 'straight' as const, 'none' as const),
    points,
  }),
  { minLength: 1, maxLength: 7 },
);

describe('ticks', () => {
  it('are round numbers at equal distances', () => {
    expect(niceTicks(0.61, 5.2, 9)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(niceTicks(90.7, 93.2, 8)).toEqual([90.5, 91, 91.5, 92, 92.5, 93, 93.5]);
    expect(niceTicks(0.1, 0.3, 3)).toEqual([0.1, 0.2, 0.3]);
    expect(niceTicks(0, 0, 5)).toEqual([-1, -0.5, 0, 0.5, 1]);
    expect(logTicks(0.6, 30, 9)).toEqual([0.5, 1, 2, 5, 10, 20, 50]);
    expect(logTicks(0.002, 900_000, 6)).toEqual([0.001, 0.1, 10, 1_000, 100_000, 10_000_000]);
  });

  const range = fc.tuple(
    fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
    fc.double({ min: 1e-6, max: 1e9, noNaN: true }),
    fc.integer({ min: 3, max: 30 }),
  );

  it('cover the range, rise, and are not more than asked', () => {
    fc.assert(
      fc.property(range, ([a, b, most]) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        for (const ticks of [niceTicks(low, high, most), logTicks(low, high, most)]) {
          const slack = 1e-5 * (high - low) + 1e-5 * low;
          expect(ticks.length).toBeGreaterThanOrEqual(2);
          expect(ticks.length).toBeLessThanOrEqual(Math.max(3, most));
          expect(ticks[0]).toBeLessThanOrEqual(low + slack);
          expect(ticks.at(-1)).toBeGreaterThanOrEqual(high - slack);
          expect(ticks.every((tick, index) => index === 0 || tick > (ticks[index - 1] ?? tick))).toBe(true);
        }
      }),
    );
  });

  it('of accuracy stay within 0 and 100 per cent, of latency above 0', () => {
    const accuracy = accuracyAxis({ low: 99.2, high: 100.4 }, 8);
    expect(accuracy.ticks.at(-1)).toEqual({ value: 100, text: '100.0' });
    expect([accuracy.place(99.2), accuracy.place(100)]).toEqual([expect.closeTo(0), 1]);
    expect(latencyAxis({ low: 1, high: 20 }, 8).isLog).toBe(false);
    expect(latencyAxis({ low: 1, high: 20.1 }, 8).isLog).toBe(true);
    expect(latencyAxis({ low: 1, high: 100 }, 8, false).isLog).toBe(false);
  });
});

test('the front is what no other point dominates', () => {
  const a = { latencyMs: 1, accuracy: 0.8 };
  const b = { latencyMs: 2, accuracy: 0.9 };
  expect(
    undominated([b, { latencyMs: 3, accuracy: 0.9 }, a, { latencyMs: 1, accuracy: 0.7 }, { ...a }]),
  ).toEqual([...[a, b]]);
});

test('labels touch neither each other nor what is there', () => {
  const wish = { x: 50, y: 50, width: 30, height: 10 };
  const frame = { left: 0, top: 0, right: 100, bottom: 100 };
  const places = placeLabels(
    Array.from({ length: 12 }, () => wish),
    [],
    frame,
    5,
  );
  const found = places.filter((place) => place !== undefined);
  expect(found.length).toBeGreaterThan(3);
  expect(found.length).toBeLessThan(9);
  expect(new Set(found.map((place) => JSON.stringify(place))).size).toBe(found.length);
  expect(placeLabels([wish], [frame], frame, 5)).toEqual([undefined]);
});

test('text from files becomes one short line', () => {
  expect(shortened(' a\n\u001b[31mb\u202e ', 20)).toBe('a [31mb');
  expect(shortened('x'.repeat(1e6), 5)).toBe('xxxx…');
  expect(shortened('\ud800', 5)).toBe('\ufffd');
  expect(shortened('😀😀😀', 3)).toBe('😀😀😀');
});

describe.each([
  ['svg', (series: readonly PlotSeries[]) => paretoSvg(series)],
  ['text', (series: readonly PlotSeries[]) => paretoText(series, SIZE)],
])('a plot as %s', (_, plot) => {
  it('refuses nothing and what is no number', () => {
    expect(() => plot([])).toThrow(AppError);
    expect(() => plot([front([])])).toThrow(/nothing to plot/);
    const refused: readonly [Partial<PlotPoint>, RegExp][] = [
      [{ latencyMs: Number.NaN }, /series "CPU", point 1: latency is NaN ms/],
      [{ latencyMs: 0 }, /latency is 0 ms/],
      [{ latencyMs: Number.POSITIVE_INFINITY }, /latency is Infinity ms/],
      [{ accuracy: 93 }, /accuracy is 93, expected 0\.\.1/],
      [{ accuracy: Number.NaN }, /accuracy is NaN/],
      [{ standardError: -1 }, /standard error is -1/],
    ];
    for (const [wrong, message] of refused) {
      expect(() => plot([front([...LEVELS.slice(0, 1), { latencyMs: 1, accuracy: 0.9, ...wrong }])])).toThrow(
        message,
      );
    }
  });

  it('draws one point, equal points, the ends of the scale', () => {
    for (const accuracy of [0, 0.5, 1]) {
      const point = { latencyMs: 1, accuracy, label: 'only' };
      expect(plot([front([point])])).toContain('only');
      expect(plot([front([point, point, point])])).toContain('only');
    }
  });

  it('is the same for the same points', () => {
    expect(plot([front(LEVELS)])).toBe(plot([front(LEVELS.map((point) => ({ ...point })))]));
  });
});

describe('the svg', () => {
  const ENTITY = /&(amp|lt|gt|quot|#39);/g;
  const ELEMENT = /<(\/?)([a-z]+)((?: [a-zA-Z0-9:-]+="[^"<]*")*)(\/?)>/g;

  /** Refuses what is not well-formed: every element is closed, every attribute quoted, every & an entity. */
  function checkXml(svg: string): void {
    const open: string[] = [];
    for (const [, closes, name = '', , isEmpty] of svg.matchAll(ELEMENT)) {
      if (closes) expect(open.pop()).toBe(name);
      else if (!isEmpty) open.push(name);
    }
    expect(open).toEqual([]);
    expect(svg.replaceAll(ELEMENT, '')).not.toContain('<');
    expect(svg.replaceAll(ENTITY, '')).not.toContain('&');
    expect(svg.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\ufffe\uffff]/u);
  }

  it('escapes whatever stands in files', () => {
    const evil = `</text><script>alert("1")</script>' onload='x`;
    const svg = paretoSvg([front([{ latencyMs: 1, accuracy: 0.9, label: evil }], { name: evil })], {
      title: evil,
      markers: { circle: evil },
    });
    checkXml(svg);
    expect(svg).not.toContain('<script');
    expect(svg).not.toContain('http://www.w3.org/1999/xlink');
  });

  it('is well-formed and finite whatever is drawn', () => {
    fc.assert(
      fc.property(seriesLists, fc.string({ unit: 'binary' }), (series, title) => {
        const svg = paretoSvg(series, { title });
        checkXml(svg);
        expect(svg.replaceAll(/<(title|text)[^>]*>[^<]*|aria-label="[^"]*"/g, '')).not.toMatch(
          /NaN|Infinity/,
        );
      }),
      { numRuns: 150 },
    );
  });

  it('has a title, a legend, error bars, tooltips and both schemes', () => {
    const samples: PlotSeries = { name: 'evaluated', role: 'samples', points: LEVELS };
    const svg = paretoSvg([front(LEVELS), samples], { title: 'A & B', markers: { square: 'int8' } });
    expect(svg).toContain('role="img" aria-label="A &amp; B"');
    for (const text of ['>A &amp; B</text>', '>CPU</text>', '>evaluated</text>', '>int8</text>']) {
      expect(svg).toContain(text);
    }
    expect(svg).toContain('<title>CPU · level 0 · 0.8 ms, 90.97 ± 0.30 %</title>');
    expect(svg).toContain('prefers-color-scheme:dark');
    expect(svg.match(/class="bar"/g)).toHaveLength(3);
    expect(
      paretoSvg([
        front([
          { latencyMs: 1, accuracy: 0.5 },
          { latencyMs: 30, accuracy: 0.6 },
        ]),
      ]),
    ).toContain('latency (ms, logarithmic)');
  });

  it('cuts long labels and leaves out what finds no room', () => {
    const many = Array.from({ length: 150 }, () => ({
      latencyMs: 1,
      accuracy: 0.9,
      label: 'y'.repeat(5_000),
    }));
    const svg = paretoSvg([front(many)]);
    expect(svg.length).toBeLessThan(100_000);
    expect(svg.match(/class="label/g)?.length).toBeLessThan(9);
  });
});

describe('the text', () => {
  it('draws steps, labels and both axes', () => {
    expect(
      paretoText([front(LEVELS), { name: 'all', role: 'samples', points: LEVELS }], { ...SIZE, ascii: true }),
    ).toMatchInlineSnapshot(`
      "o CPU
      . all
      accuracy (%)
           94 +
              |
           93 +                                        level 2 o
              |                                                |
           92 +                                                |
              |          level 1 o-----------------------------+
              |                  |
           91 +level 0 o---------+
              |
           90 +
              ++------------+-----------+------------+-----------+
               0.5         1.0         1.5          2.0        2.5
                                                      latency (ms)
      "
    `);
  });

  it('keeps its size and its characters whatever is drawn', () => {
    const sizes = fc.tuple(fc.integer({ min: 30, max: 120 }), fc.integer({ min: 8, max: 40 }));
    fc.assert(
      fc.property(seriesLists, sizes, fc.boolean(), (series, [width, height], ascii) => {
        const lines = paretoText(series, { width, height, ascii }).split('\n');
        expect(lines.pop()).toBe('');
        expect(lines.length).toBeLessThanOrEqual(height);
        for (const line of lines) expect(Array.from(line).length).toBeLessThanOrEqual(width);
        expect(lines.join('')).not.toMatch(ascii ? /[^\x20-\x7e]/ : /\p{Cc}/u);
      }),
      { numRuns: 150 },
    );
  });

  it('refuses a size in which nothing can be drawn', () => {
    for (const size of [
      { width: 29, height: 16 },
      { width: 60, height: 7 },
      { width: 60, height: 1e9 },
    ]) {
      expect(() => paretoText([front(LEVELS)], size)).toThrow(/expected 30\.\.1000 x 8\.\.500/);
    }
  });
});
