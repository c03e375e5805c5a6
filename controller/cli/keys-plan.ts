import { AppError } from '../../shared/errors.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import type { PublicKey } from '../../shared/release/signature.ts';

type Publisher = Keyring['publishers'][number];

/** What the first keyring of a fleet is made from, as if it were the one before it. */
export function emptyKeyring(root: PublicKey): Keyring {
  const lists = { roots: [root], publishers: [], revoked: [] };
  return { format: 1, document: 'keyring', version: 0, createdTs: 0, ...lists };
}

type Change = Partial<Pick<Keyring, 'roots' | 'publishers' | 'revoked'>>;

/** The keyring after this one; fields that a newer program wrote stay. */
export function nextKeyring(base: Keyring, change: Change, createdTs: number): Keyring {
  return { ...base, ...change, version: base.version + 1, createdTs };
}

/** @throws AppError `conflict` when somebody of that name publishes already */
export function checkNameFree({ publishers }: Keyring, name: string): void {
  if (!publishers.some((other) => other.name === name)) return;
  const instead = `'ofa-fleet keys rotate ${name}' makes a new key`;
  throw new AppError('conflict', `${name} is a publisher already; ${instead}`);
}

/**
 * Publishers with one more, whose name is free.
 * @throws AppError `conflict` when the key is taken, or was revoked
 */
export function addPublisher({ publishers, revoked }: Keyring, publisher: Publisher): Change {
  const { name, id } = publisher;
  const same = publishers.find((other) => other.id === id);
  if (same !== undefined) throw new AppError('conflict', `key ${id} is publisher ${same.name}'s already`);
  if (revoked.includes(id)) {
    throw new AppError('conflict', `key ${id} of ${name} is revoked; move ${name}.key away, and try again`);
  }
  return { publishers: [...publishers, publisher] };
}

/** @throws AppError `not-found` when nobody of that name publishes */
export function requirePublisher({ publishers }: Keyring, name: string): Publisher {
  const publisher = publishers.find((other) => other.name === name);
  if (publisher !== undefined) return publisher;
  throw new AppError('not-found', `${name} is no publisher; 'ofa-fleet keys create ${name}' makes it one`);
}

/** Publishers with another key for the one of that name. */
export function replacePublisher({ publishers }: Keyring, publisher: Publisher): Change {
  return { publishers: publishers.map((other) => (other.name === publisher.name ? publisher : other)) };
}

const ID = /^[0-9a-f]{16}$/;

/**
 * The id of the key that is to be revoked: of a publisher by name or by id, or any other id, of a key that was
 * rotated out. A name goes before an id.
 * @throws AppError `not-found`, or `usage` for a root
 */
export function idToRevoke({ roots, publishers }: Keyring, word: string): string {
  const publisher = publishers.find(({ name }) => name === word) ?? publishers.find(({ id }) => id === word);
  if (publisher !== undefined) return publisher.id;
  if (word === 'root' || roots.some(({ id }) => id === word)) {
    throw new AppError(
      'usage',
      "a root is not revoked; 'ofa-fleet keys rotate root' puts another in its place",
    );
  }
  if (ID.test(word)) return word;
  throw new AppError('not-found', `${word} is no publisher; 'ofa-fleet keys list' shows who is`);
}

/** Without that key, and never again with it. */
export function revokeKey({ publishers, revoked }: Keyring, id: string): Change {
  return { publishers: publishers.filter((other) => other.id !== id), revoked: [...revoked, id] };
}
