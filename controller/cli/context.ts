import { text as readAll } from 'node:stream/consumers';
import { formatSheet, type OutputFormat, type Sheet } from '../../shared/cli/format.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { type Api, createApi } from './api.ts';
import { createClient } from './client.ts';
import { findCredentials } from './credentials.ts';
import { askHidden } from './hidden-input.ts';

/** What the commands have of the world around them. */
export interface Cli {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** Data, to standard output. */
  readonly write: (text: string) => void;
  /** A line for people, to standard error. */
  readonly note: (line: string) => void;
  readonly print: <Row>(sheet: Sheet<Row>, format: OutputFormat) => void;
  /** A secret from standard input; a person is asked for it and does not see it. */
  readonly readSecret: (prompt: string) => Promise<string>;
  /** The controller that we are logged in to. */
  readonly connect: () => Promise<Api>;
}

/** The commands' surroundings in this process. */
export function createCli(env: NodeJS.ProcessEnv): Cli {
  // https://no-color.org: present and not empty, whatever its value.
  const color = process.stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  const write = (text: string): void => {
    process.stdout.write(text);
  };
  return {
    env,
    clock: systemClock,
    write,
    note: (line) => {
      process.stderr.write(`${line}\n`);
    },
    print: (sheet, format) => write(formatSheet(sheet, { format, color })),
    readSecret: (prompt) => (process.stdin.isTTY ? askHidden(prompt) : readAll(process.stdin)),
    connect: async () => createApi(createClient(await findCredentials(env))),
  };
}
