import type { Sqlite } from '../../shared/sqlite.ts';

/** What is quarantined: a model's file as one library runs it in one way. Any change of these is a new chance. */
export interface QuarantineKey {
  readonly sha256: string;
  /** Execution providers in the order of preference. */
  readonly providers: readonly string[];
}

export interface QuarantineEntry extends QuarantineKey {
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly sinceTs: number;
}

export interface QuarantineDeps {
  readonly database: Sqlite;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Version of ONNX Runtime. Entries of another one have expired. */
  readonly runtime: string;
}

/** The models that must not be run on this device, and why. It is kept in the agent's database. */
export interface Quarantine {
  list(): readonly QuarantineEntry[];
  find(key: QuarantineKey): QuarantineEntry | undefined;
  put(key: QuarantineKey, reason: string): void;
  /**
   * Counts against a model that a process died with it in flight. The second time within an hour it is
   * quarantined.
   * @returns whether it is quarantined now
   */
  strike(key: QuarantineKey, reason: string): boolean;
  /** Lets a model, or all of them, run again, and forgets their strikes. @returns how many were let out */
  clear(key?: QuarantineKey): number;
}

/** Two strikes within this time are one too many. */
export const STRIKE_WINDOW_MS = 3_600_000;
/** Longest reason that is kept. */
const MAX_REASON = 1_000;
/** Older entries beyond this number are dropped: they are of families that were here once. */
const MAX_ENTRIES = 256;

interface Row {
  readonly sha256: string;
  readonly providers: string;
  readonly reason: string;
  readonly sinceTs: number;
}

function prepareAll(database: Sqlite) {
  const columns = 'sha256, providers, reason, since_ts AS sinceTs';
  const same = 'sha256 = ? AND providers = ? AND runtime = ?';
  return {
    list: database.prepare<[string], Row>(
      `SELECT ${columns} FROM quarantine WHERE runtime = ? ORDER BY since_ts, sha256, providers`,
    ),
    find: database.prepare<string[], Row>(`SELECT ${columns} FROM quarantine WHERE ${same}`),
    put: database.prepare(
      'INSERT OR REPLACE INTO quarantine (sha256, providers, runtime, reason, since_ts) VALUES (?, ?, ?, ?, ?)',
    ),
    bound: database.prepare(
      'DELETE FROM quarantine WHERE rowid NOT IN (SELECT rowid FROM quarantine ORDER BY rowid DESC LIMIT ?)',
    ),
    clear: database.prepare<string[]>(`DELETE FROM quarantine WHERE ${same}`),
    clearAll: database.prepare('DELETE FROM quarantine'),
    struck: database.prepare<string[], { ts: number }>(`SELECT ts FROM strikes WHERE ${same}`),
    strike: database.prepare(
      'INSERT OR REPLACE INTO strikes (sha256, providers, runtime, ts) VALUES (?, ?, ?, ?)',
    ),
    boundStrikes: database.prepare(
      'DELETE FROM strikes WHERE rowid NOT IN (SELECT rowid FROM strikes ORDER BY rowid DESC LIMIT ?)',
    ),
    forgive: database.prepare<string[]>(`DELETE FROM strikes WHERE ${same}`),
    forgiveAll: database.prepare('DELETE FROM strikes'),
    expire: database.prepare('DELETE FROM quarantine WHERE runtime <> ?'),
    expireStrikes: database.prepare('DELETE FROM strikes WHERE runtime <> ?'),
  };
}

/** Opens the quarantine in the agent's database. */
export function openQuarantine({ database, now, runtime }: QuarantineDeps): Quarantine {
  const statements = prepareAll(database);
  statements.expire.run(runtime);
  statements.expireStrikes.run(runtime);
  const keyed = ({ sha256, providers }: QuarantineKey) => [sha256, providers.join(','), runtime] as const;

  const put = (key: QuarantineKey, reason: string): void => {
    statements.put.run(...keyed(key), reason.slice(0, MAX_REASON), now());
    statements.bound.run(MAX_ENTRIES);
  };
  const strike = (key: QuarantineKey, reason: string): boolean => {
    const before = statements.struck.get(...keyed(key));
    // A strike that lies ahead was made before the wall clock was set: it counts as well.
    const isSecond = before !== undefined && now() - before.ts <= STRIKE_WINDOW_MS;
    if (isSecond) {
      put(key, `twice within an hour: ${reason}`);
      statements.forgive.run(...keyed(key));
    } else {
      statements.strike.run(...keyed(key), now());
      statements.boundStrikes.run(MAX_ENTRIES);
    }
    return isSecond;
  };
  return {
    list: () => statements.list.all(runtime).map(entryOf),
    find: (key) => {
      const row = statements.find.get(...keyed(key));
      return row === undefined ? undefined : entryOf(row);
    },
    put: database.transaction(put),
    strike: database.transaction(strike),
    clear: database.transaction((key?: QuarantineKey): number => {
      if (key === undefined) {
        statements.forgiveAll.run();
        return statements.clearAll.run().changes;
      }
      statements.forgive.run(...keyed(key));
      return statements.clear.run(...keyed(key)).changes;
    }),
  };
}

function entryOf({ providers, ...row }: Row): QuarantineEntry {
  return { ...row, providers: providers.split(',') };
}
