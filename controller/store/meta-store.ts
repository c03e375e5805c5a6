import type { Sqlite } from '../../shared/sqlite.ts';

/** Single values: what the controller knows of itself. */
export type MetaKey = 'epoch' | 'n' | 'token-sha256' | 'keyring';

export interface MetaStore {
  get(key: MetaKey): string | undefined;
  set(key: MetaKey, value: string): void;
}

export function createMetaStore(sqlite: Sqlite): MetaStore {
  const get = sqlite.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck();
  const set = sqlite.prepare(
    'INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  );
  return {
    get: (key) => get.get(key),
    set: (key, value) => {
      set.run(key, value);
    },
  };
}
