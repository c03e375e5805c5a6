import { join } from 'node:path';
import { openSqlite, openSqliteReadOnly, type Sqlite } from '../../shared/sqlite.ts';

/** Steps of the schema of an agent's one database: outbox, desired documents, family in force, profiles, quarantine, installs. */
const MIGRATIONS = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE boots (
    boot_id TEXT PRIMARY KEY,
    started_ts REAL NOT NULL,
    last_seq INTEGER NOT NULL,
    windows INTEGER NOT NULL,
    events INTEGER NOT NULL
  );
  CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    ts REAL NOT NULL,
    mono_ms REAL NOT NULL,
    clock TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (boot_id, seq)
  );
  CREATE TABLE documents (scope TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE families (sha256 TEXT PRIMARY KEY, qualified_with TEXT NOT NULL, installed_ts REAL NOT NULL);
  `,
  `
  CREATE TABLE profiles (
    key TEXT PRIMARY KEY,
    facts TEXT NOT NULL,
    points TEXT NOT NULL,
    measured_ts REAL NOT NULL,
    used INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE quarantine (
    sha256 TEXT NOT NULL,
    providers TEXT NOT NULL,
    runtime TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_ts REAL NOT NULL,
    PRIMARY KEY (sha256, providers, runtime)
  );
  CREATE TABLE strikes (
    sha256 TEXT NOT NULL,
    providers TEXT NOT NULL,
    runtime TEXT NOT NULL,
    ts REAL NOT NULL,
    PRIMARY KEY (sha256, providers, runtime)
  );
  `,
  `
  CREATE TABLE install_orders (
    kind TEXT NOT NULL,
    rollout TEXT NOT NULL,
    deed TEXT NOT NULL,
    n INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, rollout, deed)
  ) WITHOUT ROWID;
  CREATE TABLE install_holdings (kind TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE install_floors (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (kind, name)
  ) WITHOUT ROWID;
  `,
];

function databasePath(stateDir: string): string {
  return join(stateDir, 'agent.db');
}

/** Opens the agent's database; the lock on it is what keeps a second agent off the same state folder. */
export function openAgentDatabase(stateDir: string): Sqlite {
  return openSqlite(databasePath(stateDir), { migrations: MIGRATIONS, exclusive: true });
}

/** Opens the database of an agent that is not running, to look into it. */
export function readAgentDatabase(stateDir: string): Sqlite | undefined {
  return openSqliteReadOnly(databasePath(stateDir));
}

/** Small values by name: device id, clock floor, the configured folder's family, counters. */
export interface Meta {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

export function metaOf(database: Sqlite): Meta {
  const select = database.prepare<[string], { value: string }>('SELECT value FROM meta WHERE key = ?');
  const upsert = database.prepare(
    'INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  );
  return {
    get: (key) => select.get(key)?.value,
    set: (key, value) => {
      upsert.run(key, value);
    },
  };
}
