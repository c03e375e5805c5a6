import type { ClockState } from '../../shared/protocol/envelope.ts';
import type { EventBody, SeqRange } from '../../shared/protocol/event.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { gapsOf } from './gaps.ts';

/** Moment of a record: wall clock, monotonic clock, and whether the wall clock is trusted. */
export interface Stamp {
  readonly ts: number;
  readonly monoMs: number;
  readonly clock: ClockState;
}

export type NewRecord =
  | { readonly kind: 'window'; readonly body: WindowBody }
  | { readonly kind: 'event'; readonly body: EventBody };

/** A record that waits for the controller's acknowledgement. `body` is JSON. */
export interface StoredRecord extends Stamp {
  readonly id: number;
  readonly bootId: string;
  readonly seq: number;
  readonly kind: 'window' | 'event';
  readonly body: string;
}

export interface OutboxTotals {
  /** Windows and events recorded since the state folder was made. */
  readonly windows: number;
  readonly events: number;
  /** Records that were dropped because the outbox was full; each is covered by a gap event. */
  readonly dropped: number;
  /** Records that wait for an acknowledgement. */
  readonly pending: number;
}

export interface OutboxOptions {
  readonly database: Sqlite;
  readonly bootId: string;
  readonly startedTs: number;
  /** Bodies of waiting records, at most; beyond it the oldest are dropped and counted. */
  readonly maxBytes: number;
  /** Records older than this are dropped and counted. */
  readonly maxAgeMs: number;
}

/**
 * The durable outbox: what was recorded stays until the controller says that it is in the history.
 *
 * Invariants: a record and its sequence number are stored in one transaction; a sequence number is never
 * used twice; whatever is dropped is covered by a gap event in the same transaction.
 */
export interface Outbox {
  /** The boot before this one, for the first event of a boot. */
  readonly previous: { readonly bootId: string; readonly lastSeq: number } | undefined;
  /** Stores a record. @throws what SQLite says (disk full); its number is then spent and owed as a gap */
  append(record: NewRecord, stamp: Stamp): number;
  /** Waiting records with an id above `afterId`, oldest first. */
  after(afterId: number, limit: number): StoredRecord[];
  /** Id of the newest record; 0 when nothing waits. */
  newestId(): number;
  /** Forgets what the controller has committed; returns how many records that were. */
  acknowledge(bootId: string, ranges: readonly SeqRange[]): number;
  /** Sets the wall clock of this boot's unsynced records, now that time has arrived. */
  redate(wallMinusMonoMs: number): number;
  /** Whether this state folder has had a boot with this id. */
  knowsBoot(bootId: string): boolean;
  totals(): OutboxTotals;
}

interface Owed {
  from: number;
  to: number;
  reason: string;
}

/** How many records are dropped at once when the outbox is full, so that not every append has to. */
const DROP_CHUNK = 64;

const COLUMNS = 'id, boot_id AS bootId, seq, kind, ts, mono_ms AS monoMs, clock, body';

function prepareAll(database: Sqlite) {
  return {
    insert: database.prepare(
      'INSERT INTO records (boot_id, seq, kind, ts, mono_ms, clock, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    countWindow: database.prepare('UPDATE boots SET last_seq = ?, windows = windows + 1 WHERE boot_id = ?'),
    countEvent: database.prepare('UPDATE boots SET last_seq = ?, events = events + 1 WHERE boot_id = ?'),
    after: database.prepare<[number, number], StoredRecord>(
      `SELECT ${COLUMNS} FROM records WHERE id > ? ORDER BY id LIMIT ?`,
    ),
    newest: database.prepare<[], { id: number | null }>('SELECT max(id) AS id FROM records'),
    acknowledge: database.prepare<[string, number, number], { bytes: number }>(
      'DELETE FROM records WHERE boot_id = ? AND seq BETWEEN ? AND ? RETURNING length(CAST(body AS BLOB)) AS bytes',
    ),
    oldest: database.prepare<[number], StoredRecord>(`SELECT ${COLUMNS} FROM records ORDER BY id LIMIT ?`),
    remove: database.prepare('DELETE FROM records WHERE id = ?'),
    redate: database.prepare(
      "UPDATE records SET ts = mono_ms + ?, clock = 'synced' WHERE boot_id = ? AND clock = 'unsynced'",
    ),
    boot: database.prepare('SELECT 1 FROM boots WHERE boot_id = ?'),
    totals: database.prepare<[], { windows: number; events: number }>(
      'SELECT coalesce(sum(windows), 0) AS windows, coalesce(sum(events), 0) AS events FROM boots',
    ),
    waiting: database.prepare<[], { records: number; bytes: number }>(
      'SELECT count(*) AS records, coalesce(sum(length(CAST(body AS BLOB))), 0) AS bytes FROM records',
    ),
    dropped: database.prepare<[], { value: string }>("SELECT value FROM meta WHERE key = 'dropped'"),
    countDropped: database.prepare(
      "INSERT INTO meta VALUES ('dropped', ?) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
    ),
  };
}

function beginBoot(database: Sqlite, options: OutboxOptions): Outbox['previous'] {
  const previous = database
    .prepare<[], { bootId: string; lastSeq: number }>(
      'SELECT boot_id AS bootId, last_seq AS lastSeq FROM boots ORDER BY rowid DESC LIMIT 1',
    )
    .get();
  database.prepare('INSERT INTO boots VALUES (?, ?, 0, 0, 0)').run(options.bootId, options.startedTs);
  return previous;
}

/** Opens the outbox for a new boot. */
export function openOutbox(options: OutboxOptions): Outbox {
  const { database, bootId } = options;
  const previous = beginBoot(database, options);
  const sql = prepareAll(database);
  let { records: waiting, bytes: waitingBytes } = sql.waiting.get() ?? { records: 0, bytes: 0 };
  let lastSeq = 0;
  let owed: Owed | undefined;

  const insert = (record: NewRecord, stamp: Stamp): number => {
    lastSeq += 1;
    const body = JSON.stringify(record.body);
    sql.insert.run(bootId, lastSeq, record.kind, stamp.ts, stamp.monoMs, stamp.clock, body);
    (record.kind === 'window' ? sql.countWindow : sql.countEvent).run(lastSeq, bootId);
    waiting += 1;
    waitingBytes += Buffer.byteLength(body);
    return lastSeq;
  };
  const payOwed = (stamp: Stamp): void => {
    if (owed === undefined) return;
    const { from, to, reason } = owed;
    insert({ kind: 'event', body: { kind: 'gap', bootId, from, to, records: to - from + 1, reason } }, stamp);
  };
  const dropOldest = (stamp: Stamp): void => {
    // Of an unsynced row no one knows the age: it may be of today, dated 1970.
    const isStale = ({ clock, ts }: StoredRecord) => clock === 'synced' && ts < stamp.ts - options.maxAgeMs;
    const oldest = sql.oldest.all(DROP_CHUNK);
    const victims = waitingBytes > options.maxBytes ? oldest : oldest.filter(isStale);
    if (victims.length === 0) return;
    for (const row of victims) {
      sql.remove.run(row.id);
      waiting -= 1;
      waitingBytes -= Buffer.byteLength(row.body);
    }
    sql.countDropped.run(victims.length);
    for (const gap of gapsOf(victims)) insert({ kind: 'event', body: gap }, stamp);
  };
  const store = database.transaction((record: NewRecord, stamp: Stamp): number => {
    dropOldest(stamp);
    payOwed(stamp);
    return insert(record, stamp);
  });

  return {
    previous,
    append: (record, stamp) => {
      const before = { lastSeq, waiting, waitingBytes };
      try {
        const seq = store(record, stamp);
        owed = undefined;
        return seq;
      } catch (error) {
        // Rolled back: the number is spent all the same, so that the loss shows as a counted gap.
        ({ lastSeq, waiting, waitingBytes } = before);
        lastSeq += 1;
        owed = { from: owed?.from ?? lastSeq, to: lastSeq, reason: 'the outbox could not be written' };
        throw error;
      }
    },
    after: (afterId, limit) => sql.after.all(afterId, limit),
    newestId: () => sql.newest.get()?.id ?? 0,
    acknowledge: (boot, ranges) => {
      const forget = database.transaction(() =>
        ranges.flatMap(([from, to]) => sql.acknowledge.all(boot, from, to)),
      );
      const gone = forget();
      waiting -= gone.length;
      for (const { bytes } of gone) waitingBytes -= bytes;
      return gone.length;
    },
    redate: (wallMinusMonoMs) => sql.redate.run(wallMinusMonoMs, bootId).changes,
    knowsBoot: (boot) => sql.boot.get(boot) !== undefined,
    totals: () => readTotals(sql, waiting),
  };
}

/** `pending` is given: counting it reads every waiting record, and a running outbox knows it. */
function readTotals(sql: ReturnType<typeof prepareAll>, pending: number): OutboxTotals {
  const { windows, events } = sql.totals.get() ?? { windows: 0, events: 0 };
  const dropped = Number(sql.dropped.get()?.value ?? 0);
  return { windows, events, dropped, pending };
}

/** Totals of a state folder, also of an agent that is not running. */
export function totalsOf(database: Sqlite): OutboxTotals {
  const sql = prepareAll(database);
  return readTotals(sql, sql.waiting.get()?.records ?? 0);
}
