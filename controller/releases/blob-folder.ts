import { createHash, randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { makeStateFolder, syncFolder, writeAtomic } from '../../shared/files.ts';
import { MAX_BLOB_BYTES, SHA256_PATTERN } from '../../shared/protocol/release.ts';
import { type ChunkReader, createChunkReader } from './chunk-reader.ts';

/** The disk is not filled further: history and telemetry need room too. */
const FREE_MARGIN_BYTES = 256 * 2 ** 20;
/** A blob that no release names is kept so long: its release may be on the way. */
const UNNAMED_MS = 24 * 3_600_000;

const TEMPORARY = '.tmp';
const SHA256 = new RegExp(SHA256_PATTERN);

export interface BlobFolderDeps {
  readonly stateDir: string;
  readonly clock: Pick<Clock, 'now'>;
  /** Bytes that may still be written to the disk of a path; for tests. */
  readonly freeBytes?: (path: string) => Promise<number>;
}

/** Files by the SHA-256 of their content. What has its name here was whole and right when it got it. */
export interface BlobFolder extends AsyncDisposable {
  /** Size of a blob; undefined when it is not there. */
  bytesOf(sha256: string): number | undefined;
  pathOf(sha256: string): string;
  /**
   * Takes a blob in. Until all of it is there, checked and on the disk, it has another name.
   * @param bytes how many there will be
   * @throws AppError `invalid` when they are others than was said, `system` when the disk has no room
   */
  put(sha256: string, body: AsyncIterable<Uint8Array>, bytes: number): Promise<'stored' | 'known'>;
  /** Stores a small blob from memory. */
  write(sha256: string, bytes: Uint8Array): Promise<void>;
  /** Chunk `n`; undefined when there is none. */
  readChunk(sha256: string, n: number): Promise<Uint8Array | undefined>;
  remove(sha256s: Iterable<string>): Promise<void>;
  /** Removes blobs that are not named and have not been for long: a publisher went away. */
  collect(named: ReadonlySet<string>): Promise<void>;
}

/**
 * Opens the blobs of a state folder, which nobody else has open, and removes what dead uploads left.
 * @throws AppError `config` when the folder cannot be made
 */
export async function openBlobFolder(deps: BlobFolderDeps): Promise<BlobFolder> {
  const folder = join(deps.stateDir, 'blobs');
  makeStateFolder(folder, 0o700);
  const sizes = await readFolder(folder);
  const reader = createChunkReader();
  const pathOf = (sha256: string): string => join(folder, sha256);
  const remove = async (sha256s: Iterable<string>): Promise<void> => {
    for (const sha256 of sha256s) {
      sizes.delete(sha256);
      await reader.forget(pathOf(sha256));
      await rm(pathOf(sha256), { force: true });
    }
  };
  return {
    bytesOf: (sha256) => sizes.get(sha256),
    pathOf,
    put: putterOf({ folder, sizes, pathOf, reader, freeBytes: deps.freeBytes ?? freeBytesOf }),
    write: async (sha256, bytes) => {
      await writeAtomic(pathOf(sha256), bytes, 0o600);
      await reader.forget(pathOf(sha256));
      sizes.set(sha256, bytes.length);
    },
    readChunk: async (sha256, n) => (sizes.has(sha256) ? await reader.read(pathOf(sha256), n) : undefined),
    remove,
    collect: async (named) => {
      const oldest = deps.clock.now() - UNNAMED_MS;
      await remove(
        await agedOf([...sizes.keys()].filter((sha256) => !named.has(sha256)).map(pathOf), oldest),
      );
    },
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  };
}

/** Sizes of the blobs in a folder. */
async function readFolder(folder: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (const { name } of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, name);
    if (name.endsWith(TEMPORARY)) await rm(path, { force: true });
    else if (SHA256.test(name)) sizes.set(name, (await stat(path)).size);
  }
  return sizes;
}

async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

interface Place {
  readonly folder: string;
  readonly sizes: Map<string, number>;
  readonly pathOf: BlobFolder['pathOf'];
  readonly reader: ChunkReader;
  readonly freeBytes: (path: string) => Promise<number>;
}

function putterOf({ folder, sizes, pathOf, reader, freeBytes }: Place): BlobFolder['put'] {
  // What uploads that are under way will still write.
  let comingBytes = 0;
  return async (sha256, body, bytes) => {
    if (sizes.get(sha256) === bytes) return 'known';
    checkSize(sha256, bytes);
    let left = bytes;
    comingBytes += bytes;
    // With those that came before; those that come after wait for this one's room, not the other way round.
    const wantedBytes = comingBytes;
    try {
      const room = (await freeBytes(folder)) - FREE_MARGIN_BYTES;
      if (wantedBytes > room) throw noRoom(sha256, bytes, room);
      await receive(pathOf(sha256), body, {
        ...{ sha256, bytes },
        onWritten: (count) => {
          left -= count;
          comingBytes -= count;
        },
      });
      // Of a file that was damaged, and is open.
      await reader.forget(pathOf(sha256));
      sizes.set(sha256, bytes);
      return 'stored';
    } finally {
      comingBytes -= left;
    }
  };
}

function checkSize(sha256: string, bytes: number): void {
  if (bytes >= 1 && bytes <= MAX_BLOB_BYTES) return;
  throw new AppError('invalid', `blob ${sha256}: ${bytes} bytes, expected 1 to ${MAX_BLOB_BYTES}`);
}

function noRoom(sha256: string, bytes: number, room: number): AppError {
  const free = Math.max(0, Math.floor(room));
  return new AppError(
    'system',
    `blob ${sha256}: ${bytes} bytes, and the controller's disk has room for ${free}`,
  );
}

interface Expected {
  readonly sha256: string;
  readonly bytes: number;
  readonly onWritten: (count: number) => void;
}

async function receive(path: string, body: AsyncIterable<Uint8Array>, expected: Expected): Promise<void> {
  const temporary = `${path}.${randomUUID()}${TEMPORARY}`;
  try {
    await writeChecked(temporary, body, expected);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    if (cause instanceof AppError) throw cause;
    throw new AppError('system', `blob ${expected.sha256} was not stored: ${describeError(cause)}`, {
      cause,
    });
  }
  await syncFolder(dirname(path));
}

async function writeChecked(
  path: string,
  body: AsyncIterable<Uint8Array>,
  { sha256, bytes, onWritten }: Expected,
): Promise<void> {
  const hash = createHash('sha256');
  let written = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const part of body) {
      written += part.length;
      if (written > bytes) throw new AppError('invalid', `blob ${sha256}: more than ${bytes} bytes came`);
      hash.update(part);
      yield part;
      onWritten(part.length);
    }
  };
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(counted());
  if (written < bytes) {
    throw new AppError('invalid', `blob ${sha256}: ${written} bytes came, expected ${bytes}`);
  }
  const actual = hash.digest('hex');
  if (actual !== sha256) throw new AppError('invalid', `blob ${sha256}: what came has SHA-256 ${actual}`);
  await file.sync();
}

/** SHA-256 of the blobs that nobody has written to for long. */
async function agedOf(paths: readonly string[], oldest: number): Promise<string[]> {
  const aged: string[] = [];
  for (const path of paths) {
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
    if (mtimeMs < oldest) aged.push(basename(path));
  }
  return aged;
}
