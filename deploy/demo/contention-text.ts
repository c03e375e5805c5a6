import { type ChartLook, drawChart, type Mark } from '../../shared/cli/chart.ts';
import { type Column, formatMs, formatPercent, formatSheet } from '../../shared/cli/format.ts';
import { formatDurationMs } from '../../shared/units.ts';
import { type Phase, type PhaseFigures, switchesOf, type TimedInference } from './contention-figures.ts';

export interface Picture {
  readonly inferences: readonly TimedInference[];
  readonly phases: readonly Phase[];
  readonly budgetMs: number;
}

const LATENCY_ROWS = 10;
/** The latency scale ends at so many budgets: what is beyond is late, however late. */
const SCALE_BUDGETS = 2;

/** Latency against its budget, and under it the level, over time. */
export function drawContention({ inferences, phases, budgetMs }: Picture, look: ChartLook): string[] {
  const points = inferences.map(({ atMs, latencyMs }) => ({ x: atMs, y: latencyMs }));
  const levels = inferences.map(({ atMs, level }) => ({ x: atMs, y: level }));
  const switches = switchesOf(inferences).map(({ atMs }): Mark => ({ x: atMs }));
  return drawChart(
    {
      panels: [
        {
          kind: 'dots',
          title: `latency in ms, budget ${formatDurationMs(budgetMs)} (╌); ▴ switch of level`,
          points,
          limit: [{ x: 0, y: budgetMs }],
          rows: LATENCY_ROWS,
          top: SCALE_BUDGETS * budgetMs,
        },
        { kind: 'steps', title: 'level', points: levels },
      ],
      marks: [...loadMarks(phases), ...switches],
      fromMs: 0,
      toMs: phases.at(-1)?.toMs ?? 1,
    },
    look,
  );
}

function loadMarks(phases: readonly Phase[]): Mark[] {
  return phases.flatMap(({ duty, fromMs }, index) => {
    const before = phases[index - 1]?.duty ?? 0;
    if (duty === before) return [];
    return [{ x: fromMs, name: duty > before ? 'load begins' : 'load ends' }];
  });
}

const COLUMNS: readonly Column<PhaseFigures>[] = [
  { head: 'PHASE', value: ({ name }) => name },
  { head: 'INFERENCES', value: ({ inferences }) => inferences, align: 'right' },
  {
    head: 'LATE',
    value: ({ missShare }) => missShare,
    text: (row) => formatPercent(row.missShare),
    align: 'right',
  },
  {
    head: 'LATENCY',
    value: (row) => row.latencyMeanMs,
    text: (row) => formatMs(row.latencyMeanMs),
    align: 'right',
  },
  {
    head: 'LEVEL',
    value: ({ levelMean }) => levelMean,
    text: ({ levelMean }) => levelMean?.toFixed(2) ?? '',
    align: 'right',
  },
  {
    head: 'ACCURACY',
    value: (row) => row.accuracyMean,
    text: (row) => formatPercent(row.accuracyMean),
    align: 'right',
  },
  { head: 'SWITCHES', value: ({ switches }) => switches, align: 'right' },
  {
    head: 'SETTLED',
    value: ({ settleMs }) => settleMs,
    text: ({ settleMs }) => formatMs(settleMs),
    align: 'right',
  },
];

/** The figures of each phase as a table. */
export function phaseTable(phases: readonly PhaseFigures[]): string {
  return formatSheet({ rows: phases, columns: COLUMNS, json: phases }, { format: 'table', color: false });
}
