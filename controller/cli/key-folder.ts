import { randomUUID } from 'node:crypto';
import {
  constants,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  stat,
  unlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import { syncFolder, writeAtomic } from '../../shared/files.ts';
import { isId } from '../../shared/protocol/ids.ts';
import { createKeyPair, type PublicKey, publicHalfOf } from '../../shared/release/signature.ts';
import { keyFolder } from '../../shared/user-folder.ts';

/** A private key of this user, with its public half. */
export interface LocalKey {
  readonly name: string;
  readonly path: string;
  readonly privatePem: string;
  readonly publicKey: PublicKey;
}

/** The name that no publisher has. */
export const ROOT = 'root';
const ENDING = '.key';
/** A key has some hundred bytes; a larger file is something else. */
const MAX_KEY_BYTES = 16 * 1024;

/** The file of a key. */
export function keyPath(folder: string, name: string): string {
  return join(folder, `${name}${ENDING}`);
}

/**
 * Reads a private key.
 * @returns undefined when it is not there
 * @throws AppError `config` when others may read it or change what lies in its folder, or when it is no key
 */
export async function readKey(folder: string, name: string): Promise<LocalKey | undefined> {
  const path = keyPath(folder, name);
  const privatePem = await readPrivate(path);
  if (privatePem === undefined) return undefined;
  await checkFolder(folder);
  return { name, path, privatePem, publicKey: publicOf(privatePem, path) };
}

function publicOf(privatePem: string, path: string): PublicKey {
  try {
    return publicHalfOf(privatePem);
  } catch (cause) {
    throw new AppError('config', `${path}: ${describeError(cause)}`);
  }
}

async function readPrivate(path: string): Promise<string | undefined> {
  try {
    // Without waiting: a named pipe is refused, not waited for.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return await readKeyFile(file, path);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    if (isSystemError(cause, 'ENOENT')) return undefined;
    throw new AppError('config', `cannot read ${path}`, { cause });
  }
}

async function readKeyFile(file: FileHandle, path: string): Promise<string> {
  // Of the open file, so that nobody can put another one in its place in between.
  const facts = await file.stat();
  if (!facts.isFile() || facts.size > MAX_KEY_BYTES) throw new AppError('config', `${path} is no key file`);
  if ((facts.mode & 0o077) !== 0) {
    throw new AppError(
      'config',
      `${path} holds a private key and others may read it; it is not used; run: chmod 600 ${path}`,
    );
  }
  return file.readFile('utf8');
}

/** Who may write into the folder can put another key in a key's place. */
async function checkFolder(folder: string): Promise<void> {
  const { mode } = await stat(folder);
  if ((mode & 0o022) === 0) return;
  throw new AppError('config', `${folder} holds private keys and others may write; run: chmod 700 ${folder}`);
}

/**
 * Makes a key pair and keeps its private half, readable by this user only; it is on disk, whole, when this
 * resolves.
 * @throws AppError `conflict` when there is one of that name: a key is never overwritten
 */
export async function createKey(folder: string, name: string): Promise<LocalKey> {
  const path = keyPath(folder, name);
  const { privatePem, publicKey } = createKeyPair();
  await writing(path, async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await checkFolder(folder);
    const temporary = join(folder, `.${randomUUID()}.new`);
    try {
      await writeAtomic(temporary, privatePem, 0o600);
      // Not renamed: a link does not take another's place.
      await link(temporary, path);
    } finally {
      await unlink(temporary).catch(() => undefined);
    }
    await syncFolder(folder);
  });
  return { name, path, privatePem, publicKey };
}

/** Gives a key another name, in place of the one that has it. */
export async function renameKey(folder: string, from: string, to: string): Promise<void> {
  await writing(keyPath(folder, to), async () => {
    await rename(keyPath(folder, from), keyPath(folder, to));
    await syncFolder(folder);
  });
}

/** Keeps a key under a second name as well; done already is done. */
export async function linkKey(folder: string, from: string, to: string): Promise<void> {
  await writing(keyPath(folder, to), async () => {
    try {
      await link(keyPath(folder, from), keyPath(folder, to));
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
    await syncFolder(folder);
  });
}

/** Writes what is no secret into the folder. */
export async function writePublic(path: string, text: string): Promise<void> {
  await writing(path, () => writeAtomic(path, text));
}

async function writing(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    if (isSystemError(cause, 'EEXIST')) throw new AppError('conflict', `${path} is there already`, { cause });
    throw new AppError('system', `cannot write ${path}`, { cause });
  }
}

/** Names of the keys in the folder, those with a dot (on their way in or out) too; in order. */
export async function keyNames(folder: string): Promise<string[]> {
  try {
    const files = await readdir(folder);
    const keys = files.filter((file) => file.endsWith(ENDING) && !file.startsWith('.'));
    return keys.map((file) => file.slice(0, -ENDING.length)).sort();
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT')) return [];
    throw new AppError('config', `cannot read ${folder}`, { cause });
  }
}

/**
 * The key that signs releases.
 * @param name undefined: the only publisher's key that is there
 * @throws AppError `not-found` when it is not there, `usage` when there are several and none was named, `config` as
 * `readKey`
 */
export async function loadPublisherKey(env: NodeJS.ProcessEnv, name?: string): Promise<LocalKey> {
  const folder = keyFolder(env);
  const wanted = name ?? (await onlyPublisher(folder));
  const key = isId(wanted) && wanted !== ROOT ? await readKey(folder, wanted) : undefined;
  if (key !== undefined) return key;
  throw new AppError(
    'not-found',
    `no publisher's key ${wanted} in ${folder}; 'ofa-fleet keys create NAME' makes one`,
  );
}

async function onlyPublisher(folder: string): Promise<string> {
  const names = (await keyNames(folder)).filter((name) => isId(name) && name !== ROOT);
  const [only] = names;
  if (only === undefined) {
    throw new AppError(
      'not-found',
      `no publisher's key in ${folder}; 'ofa-fleet keys create NAME' makes one, OFA_FLEET_KEYS names another folder`,
    );
  }
  if (names.length === 1) return only;
  throw new AppError('usage', `several publishers' keys in ${folder}: say which one of ${names.join(', ')}`);
}
