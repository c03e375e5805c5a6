import { cpus } from 'node:os';
import Table from 'cli-table3';
import { onnxRuntimeVersion } from '../../shared/onnx.ts';

/** One measured figure. One that could not be measured has the value null and a reason. */
export interface Figure {
  readonly name: string;
  readonly value: number | null;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
  /** What the value must reach. */
  readonly bar?: number;
  readonly holds?: boolean;
  readonly reason?: string;
  /** What holds the value in 95 of 100 repetitions. */
  readonly interval?: readonly [low: number, high: number];
}

export interface Bench {
  readonly summary: string;
  readonly measure: () => Promise<Figure[]>;
  /** Parts of it that can be measured alone, by name. */
  readonly parts?: Readonly<Record<string, () => Promise<Figure[]>>>;
}

export interface Report {
  readonly bench: string;
  readonly host: Record<'cpu' | 'node' | 'onnxruntime' | 'platform', string> & { readonly cores: number };
  readonly figures: readonly Figure[];
}

export type Format = 'table' | 'json';

/** A figure with a bar, and whether it holds. */
export function judged(figure: Omit<Figure, 'holds' | 'value'> & { value: number; bar: number }): Figure {
  const { value, bar, better } = figure;
  return { ...figure, holds: better === 'lower' ? value <= bar : value >= bar };
}

/** Figures of one bench with the machine that they were measured on. */
export function reportOf(bench: string, figures: readonly Figure[]): Report {
  const cores = cpus();
  return {
    bench,
    host: {
      cpu: cores[0]?.model ?? 'unknown',
      cores: cores.length,
      node: process.versions.node,
      onnxruntime: onnxRuntimeVersion(),
      platform: `${process.platform}-${process.arch}`,
    },
    figures,
  };
}

/** The report as one JSON object on one line, or as a table for people. */
export function render(report: Report, format: Format): string {
  if (format === 'json') return `${JSON.stringify(report)}\n`;
  const { host } = report;
  const table = new Table({ head: ['figure', 'value', 'unit', 'bar', ''], style: { head: [], border: [] } });
  for (const figure of report.figures) table.push(rowOf(figure));
  return [
    `${report.bench} on ${host.cpu}, ${host.cores} cores, ${host.platform}`,
    `Node.js ${host.node}, ONNX Runtime ${host.onnxruntime}`,
    `${table.toString()}\n`,
  ].join('\n');
}

function rowOf({ name, value, unit, better, bar, holds, reason }: Figure): string[] {
  const limit =
    bar === undefined ? `${better} is better` : `${better === 'lower' ? 'at most' : 'at least'} ${bar}`;
  const verdict = holds === undefined ? (reason ?? '') : holds ? 'holds' : 'does not hold';
  return [name, value === null ? 'not measured' : String(Number(value.toPrecision(4))), unit, limit, verdict];
}
