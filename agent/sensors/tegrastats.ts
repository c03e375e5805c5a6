import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { Spawn } from './processes.ts';
import { MAX_LINE_CHARACTERS, parseTegrastats, type TegrastatsLine } from './tegrastats-line.ts';
import type { Source } from './unit.ts';

export interface TegrastatsDeps {
  readonly spawn: Spawn;
  readonly clock: Clock;
  /** Between two lines, milliseconds. */
  readonly intervalMs: number;
}

/** What was printed, with the monotonic time at which it came. */
export interface Printed extends TegrastatsLine {
  readonly atMs: number;
}

/** A line older than so many intervals says nothing of now. */
const FRESH_INTERVALS = 3;
/** The program takes a moment to start. */
const START_MS = 3_000;

/**
 * Runs tegrastats and keeps its newest line: at most one line and the beginning of the next are in memory.
 * A read fails once the program has ended or is silent; closing it ends the program.
 */
export function startTegrastats({ spawn, clock, intervalMs }: TegrastatsDeps): Source<Printed> {
  const child = spawn('tegrastats', ['--interval', String(Math.round(intervalMs))]);
  const startedMs = clock.monoMs();
  const freshMs = FRESH_INTERVALS * intervalMs;
  let newest: Printed | undefined;
  let ended: string | undefined;
  const onLine = (line: string): void => {
    const parsed = parseTegrastats(line);
    if (parsed !== undefined) newest = { ...parsed, atMs: clock.monoMs() };
  };
  void followLines(child.output, onLine).then(
    () => {
      ended = 'tegrastats has ended';
    },
    (error: unknown) => {
      ended = `tegrastats has ended: ${describeError(error)}`;
    },
  );
  const read = async (): Promise<Printed | undefined> => {
    if (ended !== undefined) throw new AppError('system', ended);
    const nowMs = clock.monoMs();
    if (newest !== undefined && nowMs - newest.atMs <= freshMs) return newest;
    if (newest === undefined && nowMs - startedMs <= START_MS + freshMs) return undefined;
    throw new AppError(
      'system',
      `tegrastats: no line for ${Math.round(nowMs - (newest?.atMs ?? startedMs))} ms`,
    );
  };
  return { read, close: () => child.kill() };
}

/** Calls `onLine` with every line that is not too long; a longer one is left out, not kept. */
async function followLines(output: AsyncIterable<string>, onLine: (line: string) => void): Promise<void> {
  let begun = '';
  let isTooLong = false;
  for await (const chunk of output) {
    const parts = chunk.split('\n');
    for (const [index, part] of parts.entries()) {
      isTooLong ||= begun.length + part.length > MAX_LINE_CHARACTERS;
      begun = isTooLong ? '' : begun + part;
      if (index === parts.length - 1) break;
      if (!isTooLong) onLine(begun);
      begun = '';
      isTooLong = false;
    }
  }
}
