import { type OutputFormat, printable } from './format.ts';
import type { Terminal } from './terminal.ts';

/** An answer of a device in words, and the same as data. */
export interface Told {
  readonly lines: readonly string[];
  readonly json: unknown;
}

/** Prints what a device told: lines for people without a frame around them, data for machines. */
export function printTold(terminal: Terminal, { lines, json }: Told, format: OutputFormat): void {
  if (format === 'table') {
    terminal.write(lines.map((line) => `${printable(line)}\n`).join(''));
    return;
  }
  const rows = lines.map((line) => ({ line }));
  terminal.print({ rows, columns: [{ head: 'LINE', value: (row) => row.line }], json }, format);
}
