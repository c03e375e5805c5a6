import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { AppError } from '../../shared/errors.ts';
import type { Cli } from './context.ts';
import type { Body } from './stream.ts';

/** More than any line of a tail has. */
const LINE_CHARACTERS = 1_048_576;

export interface Following {
  /** Begins the tail; it ends when `signal` says so. */
  readonly open: (signal: AbortSignal) => Promise<Body>;
  /** A line of JSON as it is printed; undefined leaves it out. */
  readonly print: (line: string) => string | undefined;
  /** Ends after so many lines were printed. */
  readonly most: number;
}

/**
 * Prints what comes, line by line, until the user wants no more, nobody reads it, or there were enough.
 * @throws AppError `unreachable` when the controller ends it
 */
export async function follow(cli: Cli, { open, print, most }: Following): Promise<void> {
  const end = new AbortController();
  const stop = (): void => end.abort();
  void cli.stopped().then(stop);
  // A reader that has left (`| head`), or a full disk: the program tells about the latter when it ends.
  cli.stdout.once('error', stop);
  try {
    const body = await open(end.signal);
    let printed = 0;
    for await (const line of linesOf(body)) {
      const text = print(line);
      if (text === undefined) continue;
      await write(cli.stdout, `${text}\n`, end.signal);
      printed += 1;
      if (printed >= most) return;
    }
  } catch (error) {
    if (!end.signal.aborted) throw error;
    return;
  } finally {
    cli.stdout.off('error', stop);
    stop();
  }
  throw new AppError('unreachable', 'the controller ended the answer: it is gone, or goes');
}

/** Waits where what was written has not been taken yet, so that it does not pile up here. */
async function write(stdout: Writable, text: string, signal: AbortSignal): Promise<void> {
  if (!stdout.write(text)) await once(stdout, 'drain', { signal });
}

async function* linesOf(body: Body): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_CHARACTERS) {
      throw new AppError('unreachable', 'what answers is not the API of the controller: a line has no end');
    }
    yield* lines.filter((line) => line !== '');
  }
}
