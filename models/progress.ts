import type { Clock } from '../shared/clock.ts';
import { formatDurationMs } from '../shared/units.ts';

/** Tells a person how far long work is. */
export interface Progress {
  /** @param text what is being done just now */
  update(done: number, total: number, text?: string): void;
  /** The work has ended: what stands on the terminal stays there. */
  done(): void;
}

/** Where progress is written: `process.stderr`, or what behaves so. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** Name of the work, before everything else. */
  readonly title: string;
  readonly stream: ProgressStream;
  readonly clock: Clock;
}

/** On a terminal the line is not written anew more often than this. */
const REWRITE_MS = 100;
const DEFAULT_COLUMNS = 80;
/** What an earlier run recorded comes in one burst: so soon after the first update nothing is rated. */
const BURST_MS = 100;
/** Elsewhere a line is written each time another tenth is done. */
const TENTHS = 10;
const CLEAR_LINE = '\r\x1b[K';

/**
 * Makes a reporter: one line that is rewritten on a terminal, with rate and time left; a line for every
 * tenth elsewhere.
 */
export function createProgress(options: ProgressOptions): Progress {
  return options.stream.isTTY === true ? terminalProgress(options) : lineProgress(options);
}

function terminalProgress({ title, stream, clock }: ProgressOptions): Progress {
  const pace = paceMeter(clock);
  let writtenMs = Number.NEGATIVE_INFINITY;
  let open = false;
  return {
    update: (done, total, text) => {
      const tail = pace(done, total);
      const nowMs = clock.monoMs();
      if (nowMs - writtenMs < REWRITE_MS && done < total) return;
      writtenMs = nowMs;
      open = true;
      const line = lineOf(title, done, total, tail, text);
      // A longer line would wrap, and a wrapped one cannot be rewritten.
      stream.write(`${CLEAR_LINE}${line.slice(0, (stream.columns ?? DEFAULT_COLUMNS) - 1)}`);
    },
    done: () => {
      if (open) stream.write('\n');
      open = false;
    },
  };
}

function lineProgress({ title, stream, clock }: ProgressOptions): Progress {
  const pace = paceMeter(clock);
  let tenthsTold = 0;
  return {
    update: (done, total, text) => {
      const tail = pace(done, total);
      const tenths = total > 0 ? Math.floor((done / total) * TENTHS) : TENTHS;
      if (tenths <= tenthsTold) return;
      tenthsTold = tenths;
      stream.write(`${lineOf(title, done, total, tail, text)}\n`);
    },
    done: () => undefined,
  };
}

function lineOf(title: string, done: number, total: number, tail: string, text: string | undefined): string {
  const percent = total > 0 ? Math.floor((done / total) * 100) : 100;
  const parts = [`${title}: ${done}/${total} (${percent} %)`, tail, text ?? ''];
  return parts.filter((part) => part !== '').join(', ');
}

/** Rate and time left by what this run does: what an earlier one did took no time now. */
function paceMeter(clock: Clock): (done: number, total: number) => string {
  let firstMs: number | undefined;
  let start = { done: 0, atMs: 0 };
  return (done, total) => {
    const nowMs = clock.monoMs();
    firstMs ??= nowMs;
    if (nowMs - firstMs < BURST_MS) start = { done, atMs: nowMs };
    const elapsedMs = nowMs - start.atMs;
    const made = done - start.done;
    if (made <= 0 || elapsedMs <= 0) return '';
    const perSecond = (made / elapsedMs) * 1_000;
    const rate = `${Number(perSecond.toPrecision(3))}/s`;
    if (done >= total) return `${rate}, took ${formatDurationMs(elapsedMs)}`;
    return `${rate}, ${formatDurationMs(((total - done) / made) * elapsedMs)} left`;
  };
}
