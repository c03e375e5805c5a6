import type { ClockState } from '../../shared/protocol/envelope.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** Moment of a record: wall clock, monotonic clock, and whether the wall clock is trusted. */
export interface Stamp {
  readonly ts: number;
  readonly monoMs: number;
  readonly clock: ClockState;
}

/**
 * How a row's body is written: a window as it goes over the wire, an event, or a window as earlier versions
 * wrote it.
 */
export type RowKind = 'wire' | 'event' | 'window';

/** A row of the outbox. `body` is JSON. */
export interface Row extends Stamp {
  readonly id: number;
  readonly bootId: string;
  readonly seq: number;
  readonly kind: RowKind;
  readonly body: string;
}

/** What is kept of boots that are forgotten. */
interface Counted {
  readonly windows: number;
  readonly events: number;
}

/** Of boots that left nothing behind so many are remembered: by them a late word of an old self is known. */
const KEPT_BOOTS = 64;
/** Counters of what forgotten boots recorded. */
const FORGOTTEN = { windows: 'forgotten-windows', events: 'forgotten-events' } as const;

const COLUMNS = 'id, boot_id AS bootId, seq, kind, ts, mono_ms AS monoMs, clock, body';
const BYTES = 'length(CAST(body AS BLOB))';

/** The statements of the outbox, each compiled once. */
export function prepareOutbox(database: Sqlite) {
  return {
    insert: database.prepare(
      'INSERT INTO records (boot_id, seq, kind, ts, mono_ms, clock, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    countWindow: database.prepare('UPDATE boots SET last_seq = ?, windows = windows + 1 WHERE boot_id = ?'),
    countEvent: database.prepare('UPDATE boots SET last_seq = ?, events = events + 1 WHERE boot_id = ?'),
    after: database.prepare<[number, number], Row>(
      `SELECT ${COLUMNS} FROM records WHERE id > ? ORDER BY id LIMIT ?`,
    ),
    newest: database.prepare<[], { id: number | null }>('SELECT max(id) AS id FROM records'),
    within: database.prepare<[string, number, number], { id: number; bytes: number }>(
      `SELECT id, ${BYTES} AS bytes FROM records WHERE boot_id = ? AND seq BETWEEN ? AND ?`,
    ),
    oldest: database.prepare<[number], Row>(`SELECT ${COLUMNS} FROM records ORDER BY id LIMIT ?`),
    stale: database.prepare<[number, number], Row>(
      `SELECT ${COLUMNS} FROM records WHERE id IN (SELECT id FROM records ORDER BY id LIMIT ?)
       AND clock = 'synced' AND ts < ? ORDER BY id`,
    ),
    remove: database.prepare<[number]>('DELETE FROM records WHERE id = ?'),
    redate: database.prepare(
      "UPDATE records SET ts = mono_ms + ?, clock = 'synced' WHERE boot_id = ? AND clock = 'unsynced'",
    ),
    boot: database.prepare('SELECT 1 FROM boots WHERE boot_id = ?'),
    counted: database.prepare<[], Counted>(
      'SELECT coalesce(sum(windows), 0) AS windows, coalesce(sum(events), 0) AS events FROM boots',
    ),
    waiting: database.prepare<[], { records: number; bytes: number }>(
      `SELECT count(*) AS records, coalesce(sum(${BYTES}), 0) AS bytes FROM records`,
    ),
    counter: database.prepare<[string], { value: string }>('SELECT value FROM meta WHERE key = ?'),
    addToCounter: database.prepare<[string, number]>(
      'INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value',
    ),
  };
}

export type OutboxSql = ReturnType<typeof prepareOutbox>;

/** The last boot, and how far it came. */
export interface PreviousBoot {
  readonly bootId: string;
  readonly lastSeq: number;
}

/**
 * Begins a boot, in one transaction: looks who was before, and forgets boots of which nothing waits any more,
 * but for the newest. What they recorded stays counted.
 */
export function beginBoot(database: Sqlite, bootId: string, startedTs: number): PreviousBoot | undefined {
  const sql = prepareOutbox(database);
  const forget = database.prepare<[number], Counted>(
    `DELETE FROM boots WHERE boot_id NOT IN (SELECT boot_id FROM records)
     AND rowid NOT IN (SELECT rowid FROM boots ORDER BY rowid DESC LIMIT ?) RETURNING windows, events`,
  );
  const begin = database.transaction(() => {
    const previous = database
      .prepare<[], PreviousBoot>(
        'SELECT boot_id AS bootId, last_seq AS lastSeq FROM boots ORDER BY rowid DESC LIMIT 1',
      )
      .get();
    database.prepare('INSERT INTO boots VALUES (?, ?, 0, 0, 0)').run(bootId, startedTs);
    for (const { windows, events } of forget.all(KEPT_BOOTS)) {
      sql.addToCounter.run(FORGOTTEN.windows, windows);
      sql.addToCounter.run(FORGOTTEN.events, events);
    }
    return previous;
  });
  return begin();
}

/** Windows and events recorded since the state folder was made, and how many were dropped. */
export function countsOf(sql: OutboxSql) {
  const counter = (key: string): number => Number(sql.counter.get(key)?.value ?? 0);
  const { windows, events } = sql.counted.get() ?? { windows: 0, events: 0 };
  return {
    windows: windows + counter(FORGOTTEN.windows),
    events: events + counter(FORGOTTEN.events),
    dropped: counter('dropped'),
  };
}
