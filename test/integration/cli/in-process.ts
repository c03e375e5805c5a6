import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type Cli, createCli } from '../../../controller/cli/context.ts';
import { buildProgram } from '../../../controller/program.ts';
import { formatSheet } from '../../../shared/cli/format.ts';
import { describeError, exitCodeOf } from '../../../shared/errors.ts';
import type { Outcome } from './run.ts';

/** What of the world a test wants otherwise. */
export type Here = Partial<Pick<Cli, 'clock' | 'look' | 'stopped' | 'stdout'>>;

/** Runs a command in this process, as the program would; wrong usage that commander finds has status 1. */
export async function runHere(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  world: Here = {},
): Promise<Outcome> {
  const out = new PassThrough();
  const read = text(out);
  let err = '';
  const note = (line: string): void => {
    err += `${line}\n`;
  };
  const write = (data: string): void => {
    out.write(data);
  };
  const cli: Cli = {
    ...createCli(env),
    ...{ write, note, stdout: out, stopped: () => new Promise(() => undefined) },
    print: (sheet, format) => write(formatSheet(sheet, { format, color: false })),
    look: { width: 60, color: false },
    ...world,
  };
  const status = await outcomeOf(() => buildProgram(env, cli).parseAsync([...args], { from: 'user' }), note);
  out.end();
  return { status, out: await read, err };
}

async function outcomeOf(work: () => Promise<unknown>, note: (line: string) => void): Promise<number> {
  try {
    await work();
    return 0;
  } catch (error) {
    note(`ofa-fleet: ${describeError(error)}`);
    return exitCodeOf(error);
  }
}
