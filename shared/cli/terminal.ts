import type { ChartLook } from './chart.ts';
import { formatSheet, type OutputFormat, type Sheet } from './format.ts';

/** Where a command's output goes. */
export interface Terminal {
  /** Data, to standard output. */
  readonly write: (text: string) => void;
  /** A line for people, to standard error. */
  readonly note: (line: string) => void;
  readonly print: <Row>(sheet: Sheet<Row>, format: OutputFormat) => void;
  /** How pictures may look; 100 characters wide where nobody looks at a screen. */
  readonly look: ChartLook;
}

const PIPE_COLUMNS = 100;

/** The output of this process. */
export function createTerminal(env: NodeJS.ProcessEnv): Terminal {
  // https://no-color.org: present and not empty, whatever its value.
  const color = process.stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  const write = (text: string): void => {
    process.stdout.write(text);
  };
  return {
    write,
    note: (line) => {
      process.stderr.write(`${line}\n`);
    },
    print: (sheet, format) => write(formatSheet(sheet, { format, color })),
    look: { color, width: process.stdout.columns ?? PIPE_COLUMNS },
  };
}
