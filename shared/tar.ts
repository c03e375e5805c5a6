import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { pipeline as connect, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { Header, Parser, Pax, type ReadEntry } from 'tar';
import { AppError, describeError } from './errors.ts';

export interface TarLimits {
  readonly entries: number;
  /** Of all files together, unpacked. */
  readonly bytes: number;
}

/** A file of an archive while it is read. */
export interface TarFile {
  /** Relative, of sound names, `/` between them. */
  readonly path: string;
  readonly bytes: number;
  readonly isExecutable: boolean;
  /** Its bytes, once; they may be left unread. */
  readonly content: AsyncIterable<Uint8Array>;
}

const BLOCK_BYTES = 512;
/** Headers that an entry may have: its own, and one with a long name. */
const HEADER_BLOCKS = 8;
const MAX_NAME_BYTES = 255;
const MAX_PATH_CHARACTERS = 1_024;

/**
 * Reads an archive (.tgz) file by file. It may come from anybody: nothing but plain files and folders is taken,
 * and reading stops at the first thing that is wrong.
 * @param onFile is awaited; what it throws ends the reading
 * @throws AppError `invalid` for a link, a device, a name that leads elsewhere, too many or too large entries, and
 * for what is no archive; `system` when it cannot be read; what `onFile` throws; the signal's reason
 */
export async function readTar(
  path: string,
  limits: TarLimits,
  onFile: (file: TarFile) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  let fault: unknown;
  const take = (file: TarFile): Promise<void> =>
    onFile(file).catch((error: unknown) => {
      fault ??= error;
      throw error;
    });
  try {
    const feed = (chunks: AsyncIterable<Buffer>): Promise<void> => parse(chunks, limits, take);
    await pipeline(createReadStream(path), createGunzip(), feed, signal === undefined ? {} : { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    if (fault !== undefined) throw fault;
    if (cause instanceof AppError) throw cause;
    const isOfDisk = cause instanceof Error && 'syscall' in cause;
    throw new AppError(
      isOfDisk ? 'system' : 'invalid',
      `${path}: cannot be unpacked: ${describeError(cause)}`,
      {
        cause,
      },
    );
  }
}

async function parse(
  chunks: AsyncIterable<Buffer>,
  limits: TarLimits,
  onFile: (file: TarFile) => Promise<void>,
): Promise<void> {
  const parser = new Parser({ strict: true });
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  parser.on('error', failed.reject);
  const taken = { entries: 0, bytes: 0 };
  let work = Promise.resolve();
  const take = (entry: ReadEntry): void => {
    work = work.then(() => takeEntry(entry, taken, limits, onFile));
    work.catch(failed.reject);
  };
  parser.on('entry', take).on('ignoredEntry', take);
  let bytes = 0;
  for await (const chunk of chunks) {
    // The parser would unpack that too, beyond all limits.
    if (bytes === 0 && chunk[0] === 0x1f) throw new AppError('invalid', 'the archive is packed twice');
    bytes += chunk.length;
    if (bytes > limits.bytes + limits.entries * HEADER_BLOCKS * BLOCK_BYTES) {
      throw tooLarge(limits);
    }
    const drained = parser.write(chunk) ? undefined : once(parser, 'drain');
    await Promise.race([drained, failed.promise]);
  }
  const ended = once(parser, 'end');
  parser.end();
  await Promise.race([ended, failed.promise]);
  await Promise.race([work, failed.promise]);
}

async function takeEntry(
  entry: ReadEntry,
  taken: { entries: number; bytes: number },
  limits: TarLimits,
  onFile: (file: TarFile) => Promise<void>,
): Promise<void> {
  const isFolder = entry.type === 'Directory';
  const path = isFolder ? entry.path.replace(/\/$/, '') : entry.path;
  const problem = problemOfName(path) ?? problemOfType(entry);
  if (problem !== undefined) throw new AppError('invalid', `entry ${JSON.stringify(path)}: ${problem}`);
  taken.entries += 1;
  taken.bytes += entry.size;
  if (taken.entries > limits.entries) {
    throw new AppError('invalid', `the archive has more than ${limits.entries} entries`);
  }
  if (taken.bytes > limits.bytes) throw tooLarge(limits);
  const isExecutable = ((entry.mode ?? 0) & 0o100) !== 0;
  if (!isFolder) await onFile({ path, bytes: entry.size, isExecutable, content: entry });
  entry.resume();
}

function tooLarge({ bytes }: TarLimits): AppError {
  return new AppError('invalid', `the archive unpacks to more than ${bytes} bytes`);
}

function problemOfType({ type, size }: ReadEntry): string | undefined {
  if (type === 'Directory') return size > 0 ? 'a folder that has content' : undefined;
  return type === 'File' || type === 'OldFile' ? undefined : `a ${type}; only files and folders are taken`;
}

/** What is wrong with a relative path from outside; undefined when it names something below its folder. */
export function problemOfName(path: string): string | undefined {
  if (path.length > MAX_PATH_CHARACTERS) return `a path of ${path.length} characters`;
  if (/[\p{Cc}\\\ufffd]/u.test(path)) return 'a name with a character that no name has';
  const names = path.split('/');
  if (names.some((name) => name === '' || name === '.' || name === '..'))
    return 'a path that leads elsewhere';
  return names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)
    ? 'a name that is too long'
    : undefined;
}

/** What `writeTar` puts into an archive. */
export interface TarSource {
  readonly path: string;
  readonly isExecutable: boolean;
  readonly bytes: number;
  readonly open: () => AsyncIterable<Uint8Array>;
}

/** As of npm's own packages: no file of an archive tells when it was made. */
const MTIME = new Date('1985-10-26T08:15:00Z');

/**
 * Files as an archive (.tgz), in the order given. The same files give the same bytes, whenever and by whom.
 * @returns its bytes; reading them throws AppError `conflict` when a file changes its size meanwhile, and the error of
 * a file that cannot be read
 */
export function tarOf(files: readonly TarSource[]): AsyncIterable<Uint8Array> {
  // What fails destroys the last stream, and is thrown where that is read.
  return connect(Readable.from(tarBytes(files)), createGzip({ level: 9 }), () => undefined);
}

async function* tarBytes(files: readonly TarSource[]): AsyncGenerator<Uint8Array> {
  for (const file of files) {
    yield headerOf(file);
    let bytes = 0;
    for await (const chunk of file.open()) {
      bytes += chunk.length;
      yield chunk;
    }
    if (bytes !== file.bytes) throw new AppError('conflict', `${file.path}: changed while it was packed`);
    yield Buffer.alloc((BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES);
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

function headerOf({ path, bytes, isExecutable }: TarSource): Uint8Array {
  const fields = {
    path,
    size: bytes,
    mode: isExecutable ? 0o755 : 0o644,
    mtime: MTIME,
    type: 'File',
  } as const;
  const block = Buffer.alloc(BLOCK_BYTES);
  const isLong = new Header(fields).encode(block, 0);
  return isLong ? Buffer.concat([new Pax({ path, size: bytes, mtime: MTIME }).encode(), block]) : block;
}
