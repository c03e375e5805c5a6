import { randomUUID } from 'node:crypto';
import { constants, copyFile, link, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../shared/errors.ts';
import { syncFolder } from '../../shared/files.ts';
import { createFileHandles } from './file-handles.ts';
import { type BlobRef, checkBlobRef, checkSha256, diskError, type PartialBlob } from './partial-blob.ts';
import { openPartialFile, type PartialPaths } from './partial-file.ts';
import { openPartialMemory } from './partial-memory.ts';

export type { BlobRef, PartialBlob } from './partial-blob.ts';

/** Files by their content: `<sha256>` is whole and checked, `<sha256>.part` is being fetched. */
export interface BlobStore {
  /** Where a whole blob lies, or would. @throws AppError `invalid` when the name is no SHA-256 */
  pathOf(sha256: string): string;
  /** Whether it is there, of that size; its content was checked when it got its name. */
  has(ref: BlobRef): Promise<boolean>;
  /**
   * Takes a file in whose content was checked, as a hard link, or a copy where links are refused. Nobody may
   * write to that file any more. A blob that is there already stays.
   * @throws AppError `system` when neither works
   */
  adopt(path: string, sha256: string): Promise<void>;
  /**
   * Opens a blob to be fetched, with what is there of it already.
   * @throws AppError `invalid` when the reference contradicts itself, `system` when the disk fails
   */
  open(ref: BlobRef): Promise<PartialBlob>;
  /** Bytes that the disk still has to take for these blobs. */
  missingBytes(refs: readonly BlobRef[]): Promise<number>;
  /** Bytes that this user may still write. */
  freeBytes(): Promise<number>;
  /** Removes every blob and every part that is not named. To be called while nothing is fetched. */
  collect(keep: ReadonlySet<string>): Promise<{ readonly blobs: number; readonly bytes: number }>;
}

/** What may lie in the folder: blobs, parts, and what a process that died was about to rename. */
const OWN_NAME = /^([0-9a-f]{64})(\.part|\.[0-9a-f-]{36}\.tmp)?$/;
/** What a hard link fails with where a copy is possible; one that is there and too short is replaced. */
const LINK_REFUSALS = [
  'EXDEV',
  'EPERM',
  'EMLINK',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EACCES',
  'EEXIST',
] as const;
/** A release may have hundreds of blobs under way, a swarm of agents thousands. */
const MAX_OPEN_FILES = 4;
/** Of `stat`: what `blocks` counts. */
const BLOCK_BYTES = 512;

/**
 * Opens the store of a device, in the folder `blobs` of its state.
 * @throws AppError `system` when the folder cannot be made
 */
export async function openBlobStore(stateDir: string): Promise<BlobStore> {
  const folder = join(stateDir, 'blobs');
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw diskError(folder, cause);
  });
  return new FolderStore(folder);
}

class FolderStore implements BlobStore {
  readonly #folder: string;
  readonly #handles = createFileHandles(MAX_OPEN_FILES);

  constructor(folder: string) {
    this.#folder = folder;
  }

  pathOf(sha256: string): string {
    checkSha256(sha256);
    return join(this.#folder, sha256);
  }

  async has({ sha256, bytes }: BlobRef): Promise<boolean> {
    const found = await statOf(this.pathOf(sha256));
    return found?.isFile() === true && found.size === bytes;
  }

  async adopt(path: string, sha256: string): Promise<void> {
    const whole = this.pathOf(sha256);
    try {
      await link(path, whole);
    } catch (error) {
      if (isSystemError(error, 'EEXIST') && (await isAsLong(path, whole))) return;
      if (!LINK_REFUSALS.some((code) => isSystemError(error, code))) throw diskError(path, error);
      await copySynced(path, whole);
    }
    await syncFolder(this.#folder);
  }

  async open(ref: BlobRef): Promise<PartialBlob> {
    checkBlobRef(ref);
    const { chunks } = ref;
    const paths = this.#pathsOf(ref.sha256);
    if (chunks === undefined) return openPartialMemory(paths.whole, ref);
    return openPartialFile(paths, { ...ref, chunks }, this.#handles);
  }

  async missingBytes(refs: readonly BlobRef[]): Promise<number> {
    let missing = 0;
    for (const ref of refs) {
      if (await this.has(ref)) continue;
      // A part has holes: what counts is what the disk has given it.
      const part = await statOf(this.#pathsOf(ref.sha256).part);
      missing += Math.max(0, ref.bytes - (part?.blocks ?? 0) * BLOCK_BYTES);
    }
    return missing;
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#folder);
    return bavail * bsize;
  }

  async collect(keep: ReadonlySet<string>): Promise<{ readonly blobs: number; readonly bytes: number }> {
    let [blobs, bytes] = [0, 0];
    for (const name of await readdir(this.#folder)) {
      const [, sha256 = '', ending] = OWN_NAME.exec(name) ?? [];
      const isKept = keep.has(sha256) && (ending === undefined || ending === '.part');
      if (sha256 === '' || isKept) continue;
      const path = join(this.#folder, name);
      bytes += (await statOf(path))?.size ?? 0;
      await rm(path, { force: true });
      blobs += 1;
    }
    if (blobs > 0) await syncFolder(this.#folder);
    return { blobs, bytes };
  }

  #pathsOf(sha256: string): PartialPaths {
    const whole = this.pathOf(sha256);
    return { folder: this.#folder, whole, part: `${whole}.part` };
  }
}

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw diskError(path, error);
  }
}

async function isAsLong(path: string, other: string): Promise<boolean> {
  return (await statOf(path))?.size === (await statOf(other))?.size;
}

/** Under another name first: what has the name of its content is whole. */
async function copySynced(from: string, to: string): Promise<void> {
  const temporary = `${to}.${randomUUID()}.tmp`;
  try {
    await copyFile(from, temporary, constants.COPYFILE_EXCL);
    await using file = await open(temporary, 'r+');
    await file.sync();
    await rename(temporary, to);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw diskError(to, cause);
  }
}
