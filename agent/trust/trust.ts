import Type from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { readWhole } from '../../shared/files.ts';
import type { Logger } from '../../shared/log.ts';
import { type KeyringMessage, KeyringMessageSchema } from '../../shared/protocol/release.ts';
import {
  acceptKeyring,
  type Keyring,
  readKeyring,
  type SignedKeyring,
} from '../../shared/release/keyring.ts';
import { MAX_ROOT_FILE_BYTES, parseRootFile } from '../../shared/release/roots.ts';
import { KEY_ID_PATTERN, type PublicKey } from '../../shared/release/signature.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Meta } from '../store/database.ts';

/** Whose releases this device takes. */
export interface Trust {
  /** What is in force; undefined: no release is taken. */
  keyring(): Keyring | undefined;
  /**
   * Takes a keyring that came.
   * @returns whether it is new
   * @throws AppError `invalid` when it is not good, `conflict` when it is older, `config` when no root is pinned,
   * or what `openTrust` throws for a file that is there since
   */
  accept(message: KeyringMessage): Promise<boolean>;
}

export interface TrustDeps {
  readonly meta: Meta;
  /** Where the pinned roots stand, or will stand one day; undefined: nothing is trusted. */
  readonly rootFile: string | undefined;
  readonly log: Pick<Logger, 'warn'>;
}

/** The key in the agent's meta values. */
const KEY = 'keyring';

const StoredSchema = Type.Object({
  message: KeyringMessageSchema,
  /** Ids of the roots that were pinned when it was accepted. */
  pinned: Type.Array(Type.String({ pattern: KEY_ID_PATTERN })),
});

/**
 * Reads the pinned roots, and the keyring that was accepted last.
 *
 * Pinned roots judge the first keyring; from then on the keyring in force says which roots count, and a root that
 * was rotated out counts no more although it is still pinned. An operator takes this in hand by pinning other roots:
 * if none of them is in the keyring that was accepted, that one is forgotten, with its version, and the next must
 * be signed by a root that is pinned now. So a fleet recovers whose root was lost, and so does a device that was
 * wiped while its file names a root of the past: put the fleet's present `root.pub` there.
 *
 * A file that is not there yet is looked for again whenever a keyring comes.
 * @throws AppError `config` or `system` when the file of roots cannot be read
 */
export async function openTrust({ meta, rootFile, log }: TrustDeps): Promise<Trust> {
  let pinned = await readRoots(rootFile);
  let current = load(meta, { pinned, log });
  const pinLate = async (): Promise<void> => {
    pinned = await readRoots(rootFile);
    if (pinned.length > 0) current = load(meta, { pinned, log });
    else throw noRoot(rootFile);
  };
  return {
    keyring: () => current?.keyring,
    accept: async (message) => {
      if (pinned.length === 0) await pinLate();
      const keyring = acceptKeyring(message, { pinned, current });
      if (keyring === current?.keyring) return false;
      // In force first: that a disk is full must not keep a revoked key alive.
      current = { keyring, message };
      keep(meta, { message, pinned: idsOf(pinned) }, log);
      return true;
    },
  };
}

function noRoot(rootFile: string | undefined): AppError {
  const advice = rootFile === undefined ? 'name its file in trust.root' : `put it into ${rootFile}`;
  return new AppError('config', `keyring: no root is pinned on this device; ${advice}`);
}

async function readRoots(path: string | undefined): Promise<PublicKey[]> {
  if (path === undefined) return [];
  try {
    const bytes = await readWhole(path, MAX_ROOT_FILE_BYTES);
    return parseRootFile(new TextDecoder().decode(bytes), path);
  } catch (error) {
    if (error instanceof AppError && error.code === 'not-found') return [];
    throw error;
  }
}

function idsOf(keys: readonly PublicKey[]): string[] {
  return keys.map(({ id }) => id).sort();
}

function keep(
  meta: Meta,
  stored: { readonly message: KeyringMessage; readonly pinned: string[] },
  log: TrustDeps['log'],
): void {
  try {
    meta.set(KEY, JSON.stringify(stored));
  } catch (error) {
    log.warn({ err: error }, 'the keyring could not be kept; it is in force until the agent ends');
  }
}

interface Loading {
  readonly pinned: readonly PublicKey[];
  readonly log: TrustDeps['log'];
}

function load(meta: Meta, { pinned, log }: Loading): SignedKeyring | undefined {
  const text = meta.get(KEY);
  if (text === undefined || pinned.length === 0) return undefined;
  try {
    const stored = parseJson(text, parserOf(StoredSchema), 'stored keyring');
    const keyring = readKeyring(stored.message);
    if (isStillPinned(keyring, stored.pinned, idsOf(pinned))) return { keyring, message: stored.message };
    log.warn({ version: keyring.version }, 'other roots are pinned than before: the keyring is forgotten');
  } catch (error) {
    log.warn({ err: error }, 'the stored keyring cannot be read; it comes again from the controller');
  }
  return undefined;
}

/** Of the roots as they were, or with a root that is in force: an operator did not mean to begin anew. */
function isStillPinned(keyring: Keyring, before: readonly string[], now: readonly string[]): boolean {
  if (before.join() === now.join()) return true;
  return keyring.roots.some(({ id }) => now.includes(id));
}
