import type { Keyring } from '../../shared/release/keyring.ts';
import { createKey, keyNames, type LocalKey, ROOT, readKey, renameKey } from './key-folder.ts';
import {
  addPublisher,
  checkNameFree,
  idToRevoke,
  nextKeyring,
  replacePublisher,
  requirePublisher,
  revokeKey,
} from './keys-plan.ts';
import {
  beginAnew,
  beginKeyring,
  nextOf,
  putKeyring,
  requireKeyring,
  rootFile,
  settleRoot,
  type World,
} from './keys-session.ts';

/*
 * Every change goes the same way: the new private key is on disk, then the keyring is put in force, then the file
 * gets its name. What is cut off in between is taken up by the same command, which finds the key that is there.
 */

/**
 * Makes somebody a publisher, and the fleet's root the first time.
 * @param anew whether to begin with a new root, after the one before was lost
 * @throws AppError `conflict` when the name or the key is taken or revoked
 */
export async function createPublisher(world: World, name: string, anew: boolean): Promise<void> {
  const session = await (anew ? beginAnew(world) : beginKeyring(world));
  const { folder, base } = session;
  checkNameFree(base, name);
  const key = await ensureKey(folder, name);
  const next = nextKeyring(base, addPublisher(base, { name, ...key.publicKey }), world.clock.now());
  await putKeyring(session, next);
  tell(world, next, `publisher ${name} has key ${key.publicKey.id}: ${key.path}`);
  world.note(`next: ofa-fleet family publish DIR --key ${name}`);
}

/** The key of that name, which may have been made by a command that was cut off. */
async function ensureKey(folder: string, name: string): Promise<LocalKey> {
  return (await readKey(folder, name)) ?? (await createKey(folder, name));
}

function tell({ note }: World, { version }: Keyring, what: string): void {
  note(`keyring ${version} is in force: ${what}`);
}

/**
 * Gives a publisher a new key; the one before leaves the keyring.
 * @throws AppError `not-found` when it is none
 */
export async function rotatePublisher(world: World, name: string): Promise<void> {
  const session = await requireKeyring(world);
  const { folder, base } = session;
  const before = requirePublisher(base, name);
  const key = await ensureKey(folder, nextOf(name));
  if (before.id !== key.publicKey.id) {
    const next = nextKeyring(base, replacePublisher(base, { name, ...key.publicKey }), world.clock.now());
    await putKeyring(session, next);
    tell(world, next, `publisher ${name} has key ${key.publicKey.id} instead of ${before.id}`);
  }
  await renameKey(folder, nextOf(name), name);
  world.note('next: publish again what the key before has signed; it is not installed any more');
}

/** Puts a new root in the place of ours: both sign. */
export async function rotateRoot(world: World): Promise<void> {
  const session = await requireKeyring(world);
  const { folder, base, root } = session;
  if (session.isSettled) {
    world.note(`the rotation that was cut off is complete: root ${root.publicKey.id}`);
  } else {
    const key = await ensureKey(folder, nextOf(ROOT));
    const others = base.roots.filter(({ id }) => id !== root.publicKey.id);
    const next = nextKeyring(base, { roots: [...others, key.publicKey] }, world.clock.now());
    await putKeyring(session, next, key);
    await settleRoot(key, next, folder);
    tell(world, next, `root ${key.publicKey.id} instead of ${root.publicKey.id}`);
  }
  world.note('agents follow by themselves; the root before is kept beside it and signs along for those that');
  world.note(`are away; next: keep a copy of root.key, and put ${rootFile(folder)} on agents from now on`);
}

/**
 * Has a key count no more. Done already is done.
 * @param word a publisher, or the id of a key
 * @throws AppError `not-found` when it is neither
 */
export async function revoke(world: World, word: string): Promise<void> {
  const session = await requireKeyring(world);
  const { folder, base } = session;
  const id = idToRevoke(base, word);
  if (base.revoked.includes(id)) {
    world.note(`key ${id} is revoked already`);
    return;
  }
  const name = base.publishers.find((publisher) => publisher.id === id)?.name;
  const next = nextKeyring(base, revokeKey(base, id), world.clock.now());
  await putKeyring(session, next);
  tell(world, next, `key ${id} is revoked; nothing that it signed is installed any more`);
  await setAside(folder, id);
  if (name !== undefined) world.note(`next: ofa-fleet keys create ${name}, and publish again`);
}

/** So that nobody signs with it by mistake. */
async function setAside(folder: string, id: string): Promise<void> {
  for (const name of await keyNames(folder)) {
    // A file that cannot be used is not used for signing either.
    const key = await readKey(folder, name).catch(() => undefined);
    if (key?.publicKey.id === id) await renameKey(folder, name, `${name}.revoked-${id}`);
  }
}
