import { join } from 'node:path';
import { AppError, describeError } from '../../shared/errors.ts';
import { readWhole } from '../../shared/files.ts';
import { type KeyringMessage, KeyringMessageSchema } from '../../shared/protocol/release.ts';
import {
  acceptKeyring,
  type Keyring,
  type SignedKeyring,
  signKeyring,
} from '../../shared/release/keyring.ts';
import { formatRootFile } from '../../shared/release/roots.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import { keyFolder } from '../../shared/user-folder.ts';
import { createClient } from './client.ts';
import type { Cli } from './context.ts';
import { findCredentials } from './credentials.ts';
import {
  createKey,
  keyNames,
  keyPath,
  type LocalKey,
  linkKey,
  ROOT,
  readKey,
  renameKey,
  writePublic,
} from './key-folder.ts';
import { type KeysApi, keysCalls } from './keys-api.ts';
import { emptyKeyring } from './keys-plan.ts';

/** A key that is made, but perhaps not in the keyring yet; it takes its place when the keyring is in force. */
export const nextOf = (name: string): string => `${name}.next`;
const RETIRED = /^root\.until-(\d+)$/;
const MAX_RECORD_BYTES = 256 * 1024;

/** What the changes have of the world around them. */
export type World = Pick<Cli, 'env' | 'clock' | 'note'>;

/** What a change of the keyring starts from; all of it was checked. */
export interface KeysSession {
  readonly folder: string;
  readonly api: KeysApi;
  readonly fleet: string;
  readonly root: LocalKey;
  /** Whether a rotation of the root, which had been cut off, was brought to its end just now. */
  readonly isSettled: boolean;
  /** Whether the keyring is begun anew, although the controller has one. */
  readonly isAnew: boolean;
  /** The newest keyring that this root, or one before it, signed; one of version 0 where there is none. */
  readonly base: Keyring;
}

/** The controller's calls that are about keys. */
export async function connectKeys({ env }: Pick<Cli, 'env'>): Promise<KeysApi> {
  return keysCalls(createClient(await findCredentials(env)));
}

/**
 * Starts a change of the keyring that is there.
 * @throws AppError `not-found` when there is none, otherwise as `findKeyring`
 */
export async function requireKeyring(world: World): Promise<KeysSession> {
  const { session, fleet } = await findKeyring(world);
  if (session !== undefined) return session;
  throw new AppError('not-found', `fleet ${fleet} has no keyring yet; 'ofa-fleet keys create NAME' makes it`);
}

/**
 * Starts a change of the keyring, with a root where the fleet has none yet.
 * @throws AppError as `findKeyring`
 */
export async function beginKeyring(world: World): Promise<KeysSession> {
  const { session, ...place } = await findKeyring(world);
  return session ?? firstSession(world, place);
}

/**
 * Starts a keyring of a new root, whatever the controller has: the root before is lost.
 * @throws AppError `conflict` while there is a root here
 */
export async function beginAnew(world: World): Promise<KeysSession> {
  const folder = keyFolder(world.env);
  if ((await readKey(folder, ROOT)) !== undefined) {
    const instead = "'ofa-fleet keys rotate root' puts another in its place";
    throw new AppError('conflict', `${keyPath(folder, ROOT)} is there: ${instead}, or move it away first`);
  }
  const api = await connectKeys(world);
  const { fleet, current } = await api.keyring();
  const session = await firstSession(world, { folder, api, fleet });
  world.note('agents take nothing of it until that file is put on them, and they are started again');
  // For people; agents that have another root pinned begin anew too.
  const version = current?.keyring.version ?? 0;
  return { ...session, isAnew: true, base: { ...session.base, version } };
}

async function firstSession(world: World, place: Place): Promise<KeysSession> {
  const { folder } = place;
  const root = (await readKey(folder, ROOT)) ?? (await createKey(folder, ROOT));
  const path = await writeRootFile(folder, root);
  world.note(`root ${root.publicKey.id}: ${root.path}; keep a copy of it where nobody else gets at it`);
  world.note(`next: put ${path} on every agent, and name it there as trust.root`);
  return { ...place, root, isSettled: false, isAnew: false, base: emptyKeyring(root.publicKey) };
}

type Place = Pick<KeysSession, 'folder' | 'api' | 'fleet'>;

/**
 * Asks for the keyring and checks it with our own root, because what is signed here next grows out of it: a
 * controller that was broken into must not put a publisher in it. It is also held against the last one that was
 * signed here: a controller that was set up anew, or restored from a backup, has forgotten what is revoked.
 * @throws AppError `config` when the root's private half is not here, `conflict` when the keyring is not its
 */
async function findKeyring(world: World): Promise<Place & { readonly session: KeysSession | undefined }> {
  const folder = keyFolder(world.env);
  const api = await connectKeys(world);
  const { fleet, current } = await api.keyring();
  const place = { folder, api, fleet };
  const own = [await readKey(folder, ROOT), await readKey(folder, nextOf(ROOT))];
  const roots = own.filter((key) => key !== undefined);
  const newest = newestOf({
    controller: current?.message,
    recorded: await readRecord(folder, fleet),
    roots,
    place,
  });
  if (newest === undefined) return { ...place, session: undefined };
  const { keyring, message } = newest;
  if (message.document !== current?.message.document) {
    const had = current === null ? 'none' : `keyring ${current.keyring.version}`;
    world.note(
      `the controller has ${had}; it goes on from keyring ${keyring.version}, which was signed here`,
    );
  }
  const root = roots.find(({ publicKey }) => keyring.roots.some(({ id }) => id === publicKey.id));
  if (root === undefined) throw rootMissing(keyring, folder);
  const settled = await settleRoot(root, keyring, folder);
  return {
    ...place,
    session: { ...place, root: settled, isSettled: settled !== root, isAnew: false, base: keyring },
  };
}

/** What to put on agents. */
export function rootFile(folder: string): string {
  return join(folder, `${ROOT}.pub`);
}

async function writeRootFile(folder: string, { publicKey }: LocalKey): Promise<string> {
  const path = rootFile(folder);
  await writePublic(path, formatRootFile([publicKey]));
  return path;
}

/** A new root that is in force takes its place; the one before it is kept to sign along. */
export async function settleRoot(root: LocalKey, keyring: Keyring, folder: string): Promise<LocalKey> {
  if (root.name === ROOT) return root;
  if ((await keyNames(folder)).includes(ROOT))
    await linkKey(folder, ROOT, `${ROOT}.until-${keyring.version}`);
  await renameKey(folder, root.name, ROOT);
  await writeRootFile(folder, root);
  return { ...root, name: ROOT };
}

interface Candidates {
  readonly controller: KeyringMessage | undefined;
  readonly recorded: KeyringMessage | undefined;
  readonly roots: readonly LocalKey[];
  readonly place: Place;
}

function newestOf({ controller, recorded, roots, place }: Candidates): SignedKeyring | undefined {
  const theirs = checked(controller, "the controller's keyring", { roots, place });
  const ours = checked(recorded, recordPath(place), { roots, place });
  if (theirs === undefined || ours === undefined) return theirs ?? ours;
  const { version } = theirs.keyring;
  if (version === ours.keyring.version && theirs.message.document !== ours.message.document) {
    throw new AppError(
      'conflict',
      `the controller's keyring ${version} is another than ${recordPath(place)}, which was signed here`,
    );
  }
  return ours.keyring.version > version ? ours : theirs;
}

function checked(
  message: KeyringMessage | undefined,
  whose: string,
  { roots, place: { folder } }: Pick<Candidates, 'roots' | 'place'>,
): SignedKeyring | undefined {
  if (message === undefined) return undefined;
  if (roots.length === 0) {
    throw new AppError(
      'config',
      `${whose}: there is no root.key in ${folder} to go on from it; do this where it is, or set OFA_FLEET_KEYS`,
    );
  }
  try {
    const pinned = roots.map(({ publicKey }) => publicKey);
    return { message, keyring: acceptKeyring(message, { pinned }) };
  } catch (cause) {
    const why = describeError(cause);
    throw new AppError('conflict', `${whose} is not one of root.key in ${folder} (${why})`, { cause });
  }
}

function rootMissing({ roots }: Keyring, folder: string): AppError {
  const ids = roots.map(({ id }) => id).join(', ');
  return new AppError('config', `the private half of root ${ids} is not in ${folder}; do this where it is`);
}

/**
 * Signs a keyring and puts it in force. Roots of the past sign along while their files are here, so that agents
 * which missed a rotation follow.
 * @param newRoot where it brings one
 */
export async function putKeyring(
  { root, isAnew, ...place }: KeysSession,
  keyring: Keyring,
  newRoot?: LocalKey,
): Promise<void> {
  const signers = [root, ...(newRoot === undefined ? [] : [newRoot]), ...(await retiredRoots(place.folder))];
  const message = signKeyring(
    keyring,
    signers.map(({ privatePem }) => privatePem),
  );
  await place.api.putKeyring(message, isAnew);
  await writePublic(recordPath(place), `${JSON.stringify(message)}\n`);
}

/** The newest first: there is not room for all of ever. */
async function retiredRoots(folder: string): Promise<LocalKey[]> {
  const untilOf = (name: string): number => Number(RETIRED.exec(name)?.[1]);
  const names = (await keyNames(folder)).filter((name) => RETIRED.test(name));
  const keys = await Promise.all(
    names.sort((a, b) => untilOf(b) - untilOf(a)).map((name) => readKey(folder, name)),
  );
  return keys.filter((key) => key !== undefined);
}

function recordPath({ folder, fleet }: Pick<Place, 'folder' | 'fleet'>): string {
  return join(folder, `${fleet}.keyring.json`);
}

async function readRecord(folder: string, fleet: string): Promise<KeyringMessage | undefined> {
  const path = recordPath({ folder, fleet });
  try {
    const text = new TextDecoder().decode(await readWhole(path, MAX_RECORD_BYTES));
    return parseJson(text, parserOf(KeyringMessageSchema), path);
  } catch (error) {
    if (error instanceof AppError && error.code === 'not-found') return undefined;
    throw error;
  }
}
