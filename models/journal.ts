import { type FileHandle, open, rm } from 'node:fs/promises';
import Type from 'typebox';
import { AppError, describeError } from '../shared/errors.ts';
import { sha256 } from '../shared/files.ts';
import { type Parser, parseJson, parserOf } from '../shared/schema.ts';
import { type Lock, takeLock } from './lock-file.ts';

/**
 * Long work that can be stopped and taken up again: every step's result is written down when it is there.
 *
 *  1. The file is JSON lines: a header, then `{"key", "value"}` for each step; lines are only appended.
 *  2. A step is done when its line, newline included, is on the disk (fsync): then `step` returns.
 *  3. What follows the last newline was torn by a crash and is cut off; any other line that does not fit
 *     means a file that is not ours, which is refused and left as it is.
 *  4. One process at a time: `<path>.lock`.
 *  5. One without a step is worth nothing, and is removed when it is disposed of.
 */
const HEADER = '{"journal":"ofa-models","format":1}';
/** Everything that is recorded is held in memory. */
const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;

const parseEntry = parserOf(Type.Object({ key: Type.String({ minLength: 1 }), value: Type.Unknown() }));

/** Results of steps, kept in a file. */
export interface Journal extends AsyncDisposable {
  /** How many steps are recorded. */
  readonly size: number;
  /**
   * The result of a step: what is recorded under `key`, else what `compute` gives, once it is recorded. Two
   * calls with one key compute once.
   * @param key of everything that the result depends on: `stepKey`
   * @param parse checks what was recorded and what was computed alike
   * @throws AppError `invalid` when it does not fit, `system` when it cannot be written or the journal is
   * full; whatever `compute` throws
   */
  step<T>(key: string, parse: Parser<T>, compute: () => Promise<T>): Promise<T>;
  /** The work is done: the file goes when the journal is disposed of, before another process may have it. */
  discard(): void;
}

/** Names a step by everything that its result depends on; `inputs` must be plain JSON. */
export function stepKey(name: string, ...inputs: readonly unknown[]): string {
  return `${name}:${sha256(JSON.stringify(inputs))}`;
}

/**
 * Opens a journal, or begins one. To be disposed of, which lets other processes have it.
 * @throws AppError `conflict` when another process has it open, `config` when the file is not a journal,
 * broken or too large, `system` when it cannot be read or written
 */
export async function openJournal(
  path: string,
  { maxBytes = DEFAULT_MAX_BYTES }: { readonly maxBytes?: number } = {},
): Promise<Journal> {
  const lock = await takeLock(`${path}.lock`, path);
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'a+', 0o644);
    const { values, bytes } = await readRecorded(file, path, maxBytes);
    return new FileJournal({ file, path, lock, maxBytes }, values, bytes);
  } catch (cause) {
    await file?.close();
    await lock[Symbol.asyncDispose]();
    if (cause instanceof AppError) throw cause;
    throw new AppError('system', `${path}: cannot be opened: ${describeError(cause)}`, { cause });
  }
}

/** What is recorded, after a torn line has been cut off and a new file has got its header. */
async function readRecorded(
  file: FileHandle,
  path: string,
  maxBytes: number,
): Promise<{ values: Map<string, unknown>; bytes: number }> {
  const { size } = await file.stat();
  if (size > maxBytes) throw notOurs(path, `${size} bytes, at most ${maxBytes} are read`);
  const content = await file.readFile();
  const whole = content.subarray(0, content.lastIndexOf(0x0a) + 1);
  const [header, ...lines] = whole.toString('utf8').split('\n').slice(0, -1);
  if (header === undefined) {
    if (!HEADER.startsWith(content.toString('utf8'))) throw notOurs(path, 'does not begin as one');
    await file.truncate(0);
    await append(file, HEADER);
    return { values: new Map(), bytes: HEADER.length + 1 };
  }
  if (header !== HEADER) throw notOurs(path, 'does not begin as one');
  const values = new Map(lines.map((line, index) => entryOf(line, `${path}:${index + 2}`, path)));
  if (whole.length < content.length) await file.truncate(whole.length);
  return { values, bytes: whole.length };
}

function entryOf(line: string, what: string, path: string): [string, unknown] {
  try {
    const { key, value } = parseJson(line, parseEntry, what);
    return [key, value];
  } catch (cause) {
    throw notOurs(path, describeError(cause), cause);
  }
}

function notOurs(path: string, why: string, cause?: unknown): AppError {
  const message = `${path}: is no journal that can be gone on with (${why}); name another file, or delete it to begin anew`;
  return new AppError('config', message, { cause });
}

async function append(file: FileHandle, line: string): Promise<void> {
  await file.appendFile(`${line}\n`);
  await file.datasync();
}

interface JournalFile {
  readonly file: FileHandle;
  readonly path: string;
  readonly lock: Lock;
  readonly maxBytes: number;
}

class FileJournal implements Journal {
  readonly #journal: JournalFile;
  readonly #values: Map<string, unknown>;
  readonly #running = new Map<string, Promise<unknown>>();
  /** Lines are written one after the other; it never rejects. */
  #written: Promise<void> = Promise.resolve();
  /** A line may be half written: nothing may follow it. */
  #broken: unknown;
  #bytes: number;
  #isDiscarded = false;

  constructor(journal: JournalFile, values: Map<string, unknown>, bytes: number) {
    this.#journal = journal;
    this.#values = values;
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#values.size;
  }

  async step<T>(key: string, parse: Parser<T>, compute: () => Promise<T>): Promise<T> {
    const what = `${this.#journal.path}: step ${key}`;
    if (this.#values.has(key)) return parse(this.#values.get(key), what);
    const running = this.#running.get(key) ?? this.#computed(key, parse, compute);
    this.#running.set(key, running);
    try {
      return parse(await running, what);
    } finally {
      this.#running.delete(key);
    }
  }

  async #computed<T>(key: string, parse: Parser<T>, compute: () => Promise<T>): Promise<unknown> {
    const line = JSON.stringify({ key, value: await compute() });
    // As it will be read: what JSON cannot hold is found now, and not when the work is taken up again.
    const { value } = parseJson(line, parseEntry, `step ${key}`);
    parse(value, `step ${key}`);
    const written = this.#written.then(async () => await this.#write(line));
    this.#written = written.catch(() => undefined);
    await written;
    this.#values.set(key, value);
    return value;
  }

  async #write(line: string): Promise<void> {
    const { file, path, maxBytes } = this.#journal;
    if (this.#broken !== undefined) {
      throw new AppError('system', `${path}: an earlier line could not be written`, { cause: this.#broken });
    }
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#bytes + bytes > maxBytes) {
      throw new AppError('system', `${path}: is full, at most ${maxBytes} bytes are kept; begin another one`);
    }
    try {
      await append(file, line);
      this.#bytes += bytes;
    } catch (cause) {
      this.#broken = cause;
      throw new AppError('system', `${path}: cannot be written: ${describeError(cause)}`, { cause });
    }
  }

  discard(): void {
    this.#isDiscarded = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { file, path, lock } = this.#journal;
    // Released last: another process must not begin to write what is removed here.
    await using _held = lock;
    await this.#written;
    await file.close();
    if (this.#isDiscarded || this.size === 0) await rm(path, { force: true });
  }
}
