import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Chart, drawChart, type Mark } from '../../../shared/cli/chart.ts';
import type { Point } from '../../../shared/cli/plot.ts';
import type { Series } from '../../../shared/cli/series.ts';

const EXPECTED = [
  '                      ▼load begins',
  '    latency, ms',
  '8.8┤                  ┊  ⠐      ⠐       ',
  '6.3┤╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌',
  '   ┤                  ┊                 ',
  '1.3┤       ⠄      ⠄   ┊                 ',
  '                       ▴',
  '    level',
  '  3┤━━━━━━━━━━━━━━━━━━┃                 ',
  '  2┤                  ┃                 ',
  '  1┤                  ┃━━━━━━━━━━━━━━━━━',
  '   └┬─────────────────┬────────────────┬',
  '    0s                5s             10s',
];

const PLAIN = { width: 40, color: false };

function chartOf(latencies: readonly Point[], levels: readonly Point[], marks: readonly Mark[] = []): Chart {
  return {
    panels: [
      { kind: 'dots', title: 'latency, ms', points: latencies, limit: [{ x: 0, y: 5 }], rows: 4, top: 10 },
      { kind: 'steps', title: 'level', points: levels },
    ],
    marks,
    fromMs: 0,
    toMs: 10_000,
  };
}

/** What of a line lies right of the axis. */
function plotOf(line: string | undefined): string {
  return line?.slice(line.search(/[┤└]/) + 1) ?? '';
}

describe('drawChart', () => {
  it('draws dots against their limit, and the level as steps on the same axis', () => {
    const latencies = [2, 4, 6, 8].map((second) => ({ x: second * 1_000, y: second > 5 ? 9 : 1 }));
    const levels = [
      { x: 0, y: 3 },
      { x: 5_000, y: 1 },
    ];
    const marks = [{ x: 5_000, name: 'load begins' }, { x: 5_400 }];
    expect(drawChart(chartOf(latencies, levels, marks), PLAIN)).toEqual(EXPECTED);
  });

  it('draws what is over the top in the top row', () => {
    const lines = drawChart(chartOf([{ x: 5_000, y: 1_000 }], []), PLAIN);
    expect(plotOf(lines[1])).toMatch(/[\u2801-\u28ff]/);
  });

  it('says what the axes are: title with the unit, values, seconds', () => {
    const lines = drawChart(chartOf([{ x: 0, y: 1 }], [{ x: 0, y: 2 }]), PLAIN);
    expect(lines[0]).toContain('latency, ms');
    expect(lines[1]).toMatch(/^\s*8\.8┤/);
    expect(lines.at(-1)).toMatch(/^\s*0s .*10s$/);
  });

  it('shows two levels of one column as a change', () => {
    const levels = [
      { x: 0, y: 0 },
      { x: 5_000, y: 2 },
    ];
    const rows = drawChart(chartOf([], levels), { width: 30, color: false }).slice(6, 9).map(plotOf);
    expect(rows[0]).toMatch(/^ +┃━+$/);
    expect(rows[1]).toMatch(/^ +┃ +$/);
    expect(rows[2]).toMatch(/^━+┃ +$/);
  });

  it('uses colours only where it may, and draws the same without them', () => {
    const chart = chartOf([{ x: 1_000, y: 9 }], [{ x: 0, y: 1 }], [{ x: 2_000, name: 'a' }]);
    const plain = drawChart(chart, PLAIN);
    const colored = drawChart(chart, { ...PLAIN, color: true });
    expect(plain.join('')).not.toContain('\u001b');
    expect(colored.join('')).toContain('\u001b[31m');
    expect(colored.map((line) => stripVTControlCharacters(line))).toEqual(plain);
  });

  it('puts names of marks that are close to each other in rows of their own', () => {
    const marks = [1_000, 1_500, 2_000, 2_500].map((x) => ({ x, name: 'something long' }));
    const lines = drawChart(chartOf([], [], marks), PLAIN);
    expect(lines.filter((line) => line.includes('▼something long'))).toHaveLength(3);
  });

  it('draws the axes of a chart without values', () => {
    const lines = drawChart(chartOf([], []), PLAIN);
    expect(lines.some((line) => line.includes('latency, ms'))).toBe(true);
    expect(lines.at(-1)).toContain('0s');
  });
});

describe('series', () => {
  const span = (from: number, y: number) => ({ from: from * 1_000, to: (from + 1) * 1_000, y });
  const drawn = (series: Series[]): string[] =>
    drawChart(
      {
        panels: [{ kind: 'series', title: 'latency, ms', series, rows: 4 }],
        marks: [],
        ...{ fromMs: 0, toMs: 10_000, ticks: () => [{ x: 5_000, text: '12:00' }] },
      },
      { width: 24, color: false },
    );

  it('are lines on one scale, each with a mark of its own, under the ticks that were asked for', () => {
    const first = { name: 'a', spans: [span(0, 2), span(1, 8), span(2, 8)] };
    const second = { name: 'b', spans: [span(5, 4)] };
    expect(drawn([first, second])).toEqual([
      '  latency, ms',
      '  ● a   ▲ b',
      '7┤  ●●●●                ',
      '5┤  ●        ▲▲         ',
      ' ┤●●●                   ',
      '1┤                      ',
      ' └───────────┬──────────',
      '             12:00',
    ]);
  });

  it('are broken where nothing is known', () => {
    const lines = drawn([{ name: '', spans: [span(0, 5), span(1, 5), span(7, 5)] }]);
    const row = lines.map(plotOf).find((plot) => /[\u2801-\u28ff]/.test(plot));
    expect(row).toMatch(/^[^ ]{4} {8}[^ ]{2} +$/);
  });

  it('use a scale that shows how they differ where they are close to each other', () => {
    const lines = drawn([{ name: '', spans: [span(0, 0.92), span(1, 0.93)] }]);
    expect(lines[1]).toMatch(/^ *0\.92\d\d┤/);
    expect(plotOf(lines[1])).not.toBe(plotOf(lines[4]));
  });
});

describe('whatever the values are', () => {
  const number = fc.oneof(fc.double(), fc.double({ min: -10, max: 20_000 }), fc.constant(Number.NaN));
  const points = fc.array(fc.record({ x: number, y: number }), { maxLength: 50 });
  const spans = fc.array(fc.record({ from: number, to: number, y: number }), { maxLength: 50 });
  const series = fc.array(fc.record({ name: fc.string({ maxLength: 30 }), spans }), { maxLength: 10 });
  const marks = fc.array(
    fc.oneof(fc.record({ x: number }), fc.record({ x: number, name: fc.string({ maxLength: 30 }) })),
    { maxLength: 8 },
  );
  const panel = fc.oneof(
    fc.record({
      kind: fc.constant('dots' as const),
      title: fc.string(),
      points,
      limit: points,
      rows: number,
    }),
    fc.record({
      kind: fc.constant('dots' as const),
      title: fc.string(),
      points,
      limit: points,
      rows: number,
      top: number,
    }),
    fc.record({ kind: fc.constant('steps' as const), title: fc.string(), points }),
    fc.record({ kind: fc.constant('series' as const), title: fc.string(), series, rows: number }),
  );
  const chart = fc.record({ panels: fc.array(panel, { maxLength: 3 }), marks, fromMs: number, toMs: number });
  const width = fc.oneof(fc.integer({ min: -5, max: 300 }), number);

  it('never throws, and no line is wider than asked', () => {
    fc.assert(
      fc.property(chart, width, fc.boolean(), (drawn, asked, color) => {
        const lines = drawChart(drawn, { width: asked, color });
        const widest = Number.isNaN(asked) ? 200 : Math.min(200, Math.max(0, Math.floor(asked)));
        for (const line of lines) {
          expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(widest);
        }
        expect(lines.length).toBeLessThan(150);
      }),
      { numRuns: 500 },
    );
  });
});
