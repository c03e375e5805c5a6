import { type Column, type OutputFormat, printable } from '../../shared/cli/format.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import { keyFolder } from '../../shared/user-folder.ts';
import type { Cli } from './context.ts';
import { keyNames, type LocalKey, ROOT, readKey } from './key-folder.ts';
import { connectKeys } from './keys-session.ts';

/** A key of the keyring, or one that is only here. */
interface KeyRow {
  /** The publisher; of a key that is only here, the name of its file. */
  readonly name: string;
  readonly id: string;
  readonly role: 'root' | 'publisher' | '';
  readonly state: 'active' | 'revoked' | 'unused';
  /** Where its private half is on this machine. */
  readonly file?: string;
}

const COLUMNS: readonly Column<KeyRow>[] = [
  { head: 'NAME', value: ({ name }) => name },
  { head: 'KEY', value: ({ id }) => id },
  { head: 'ROLE', value: ({ role }) => role },
  { head: 'STATE', value: ({ state }) => state },
  { head: 'HERE', value: ({ file }) => file },
];

/** Prints whose signatures count, and which private halves are on this machine. */
export async function listKeys(cli: Cli, output: OutputFormat): Promise<void> {
  const folder = keyFolder(cli.env);
  const { fleet, current } = await (await connectKeys(cli)).keyring();
  const rows = rowsOf(current?.keyring, await localKeys(cli, folder));
  const json = { fleet, version: current?.keyring.version ?? null, folder, keys: rows };
  cli.print({ rows, columns: COLUMNS, json }, output);
  if (current === null) {
    cli.note(`fleet ${fleet} has no keyring yet; 'ofa-fleet keys create NAME' makes it`);
  }
}

async function localKeys(cli: Cli, folder: string): Promise<LocalKey[]> {
  const keys: LocalKey[] = [];
  for (const name of await keyNames(folder)) {
    try {
      const key = await readKey(folder, name);
      if (key !== undefined) keys.push(key);
    } catch (error) {
      // The others are listed all the same.
      cli.note(printable(error instanceof Error ? error.message : String(error)));
    }
  }
  return keys;
}

/** Roots, publishers, revoked keys, then keys that are only here. */
function rowsOf(keyring: Keyring | undefined, local: readonly LocalKey[]): KeyRow[] {
  const { roots = [], publishers = [], revoked = [] } = keyring ?? {};
  const files = new Map(local.map(({ publicKey, path }) => [publicKey.id, path]));
  const withFile = (row: KeyRow): KeyRow => {
    const file = files.get(row.id);
    return file === undefined ? row : { ...row, file };
  };
  const known: KeyRow[] = [
    ...roots.map(({ id }): KeyRow => ({ name: ROOT, id, role: 'root', state: 'active' })),
    ...publishers.map(({ name, id }): KeyRow => ({ name, id, role: 'publisher', state: 'active' })),
    ...revoked.map((id): KeyRow => ({ name: '', id, role: '', state: 'revoked' })),
  ];
  const ids = new Set(known.map(({ id }) => id));
  const unused = local
    .filter(({ publicKey }) => !ids.has(publicKey.id))
    .map(({ name, publicKey }): KeyRow => ({ name, id: publicKey.id, role: '', state: 'unused' }));
  return [...known, ...unused].map(withFile);
}
