import type { EventBody, SeqRange } from '../../shared/protocol/event.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import { toWire } from '../../shared/protocol/window-wire.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { gapsOf } from './gaps.ts';
import { readLongWindow } from './long-window.ts';
import {
  beginBoot,
  countsOf,
  type OutboxSql,
  type PreviousBoot,
  prepareOutbox,
  type Row,
  type Stamp,
} from './outbox-store.ts';

export type NewRecord =
  | { readonly kind: 'window'; readonly body: WindowBody }
  | { readonly kind: 'event'; readonly body: EventBody };

/** A record that waits for the controller's acknowledgement. `body` is JSON: a window's as it goes over the wire. */
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

/** How much waits, and since when. */
export interface Waiting {
  readonly records: number;
  /** Age of the oldest, milliseconds; undefined when nothing waits, or no clock can tell. */
  readonly ageMs: number | undefined;
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
  readonly previous: PreviousBoot | undefined;
  /** Stores a record. @throws what SQLite says (disk full); its number is then spent and owed as a gap */
  append(record: NewRecord, stamp: Stamp): number;
  /** Waiting records with an id above `afterId`, oldest first. */
  after(afterId: number, limit: number): StoredRecord[];
  /** Id of the newest record, or of one that has just been acknowledged; 0 when there is none. */
  newestId(): number;
  /**
   * Forgets what the controller has committed; returns how many records that were. A few leave the disk with
   * the next append only: a crash before it sends them again, which does no harm.
   * @throws what SQLite says; they are forgotten all the same until the process ends
   */
  acknowledge(bootId: string, ranges: readonly SeqRange[]): number;
  /** Takes what was acknowledged from the disk now. @throws what SQLite says */
  settle(): void;
  /** Sets the wall clock of this boot's unsynced records, now that time has arrived. */
  redate(wallMinusMonoMs: number): number;
  /** Whether this state folder has had a boot with this id lately. */
  knowsBoot(bootId: string): boolean;
  totals(): OutboxTotals;
  /** @param now the moment that the age is counted to */
  waiting(now: Stamp): Waiting;
}

/** How many records are dropped at once when the outbox is full, so that not every append has to. */
const DROP_CHUNK = 64;
/** Acknowledged records that leave the disk with the next append: one transaction a window instead of two. */
const MAX_LEAVING = 32;
const TOO_MUCH = 'the outbox was full or too old';
const UNREADABLE = 'an earlier version wrote it, and it cannot be read';

interface Owed {
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

/** What changes with a transaction, and is as before when that fails. */
interface State {
  readonly lastSeq: number;
  readonly waiting: number;
  readonly waitingBytes: number;
}

/** Opens the outbox for a new boot. */
export function openOutbox(options: OutboxOptions): Outbox {
  const { database, bootId } = options;
  const previous = beginBoot(database, bootId, options.startedTs);
  const sql = prepareOutbox(database);
  const { records = 0, bytes = 0 } = sql.waiting.get() ?? {};
  let state: State = { lastSeq: 0, waiting: records, waitingBytes: bytes };
  let owed: Owed | undefined;
  /** Acknowledged, and not yet taken from the disk. */
  const leaving = new Set<number>();
  /** Windows of an earlier version that cannot be read: the next append drops them. */
  const broken = new Map<number, Row>();
  const writer = createWriter(sql, bootId);

  const takeOut = (): void => {
    for (const id of leaving) sql.remove.run(id);
  };
  const settle = (): void => {
    database.transaction(takeOut)();
    leaving.clear();
  };
  const store = database.transaction((record: NewRecord, stamp: Stamp): State => {
    takeOut();
    let next = writer.drop(state, [...broken.values()], stamp, UNREADABLE);
    next = writer.drop(next, tooMuch(sql, next, stamp, options), stamp, TOO_MUCH);
    if (owed !== undefined) next = writer.write(next, gapOf(bootId, owed), stamp);
    return writer.write(next, record, stamp);
  });
  const readable = (row: Row): StoredRecord[] => {
    if (leaving.has(row.id) || broken.has(row.id)) return [];
    const record = recordOf(row);
    if (record === undefined) broken.set(row.id, row);
    return record === undefined ? [] : [record];
  };

  return {
    previous,
    append: (record, stamp) => {
      try {
        state = store(record, stamp);
      } catch (error) {
        // Rolled back: the number is spent all the same, so that the loss shows as a counted gap.
        const spent = state.lastSeq + 1;
        state = { ...state, lastSeq: spent };
        owed = { from: owed?.from ?? spent, to: spent, reason: 'the outbox could not be written' };
        throw error;
      }
      owed = undefined;
      leaving.clear();
      broken.clear();
      return state.lastSeq;
    },
    after: (afterId, limit) => {
      const found = sql.after.all(afterId, limit + leaving.size + broken.size).flatMap(readable);
      return found.slice(0, limit);
    },
    newestId: () => sql.newest.get()?.id ?? 0,
    acknowledge: (boot, ranges) => {
      const before = state.waiting;
      for (const { id, bytes: goneBytes } of ranges.flatMap(([from, to]) => sql.within.all(boot, from, to))) {
        if (leaving.has(id)) continue;
        leaving.add(id);
        broken.delete(id);
        state = { ...state, waiting: state.waiting - 1, waitingBytes: state.waitingBytes - goneBytes };
      }
      if (leaving.size > MAX_LEAVING) settle();
      return before - state.waiting;
    },
    settle,
    redate: (wallMinusMonoMs) => sql.redate.run(wallMinusMonoMs, bootId).changes,
    knowsBoot: (boot) => sql.boot.get(boot) !== undefined,
    // `pending` is counted along: to count it reads every waiting record.
    totals: () => ({ ...countsOf(sql), pending: state.waiting }),
    waiting: (now) => {
      const oldest = sql.oldest.all(leaving.size + 1).find(({ id }) => !leaving.has(id));
      return { records: state.waiting, ageMs: oldest && ageOf(oldest, bootId, now) };
    },
  };
}

/** Totals of a state folder, also of an agent that is not running. */
export function totalsOf(database: Sqlite): OutboxTotals {
  const sql = prepareOutbox(database);
  return { ...countsOf(sql), pending: sql.waiting.get()?.records ?? 0 };
}

/** Writes and drops records, within a transaction of the caller; gives the state after it. */
function createWriter(sql: OutboxSql, bootId: string) {
  const write = (state: State, record: NewRecord, { ts, monoMs, clock }: Stamp): State => {
    const seq = state.lastSeq + 1;
    const isWindow = record.kind === 'window';
    const body = JSON.stringify(isWindow ? toWire(record.body) : record.body);
    sql.insert.run(bootId, seq, isWindow ? 'wire' : 'event', ts, monoMs, clock, body);
    (isWindow ? sql.countWindow : sql.countEvent).run(seq, bootId);
    const waitingBytes = state.waitingBytes + Buffer.byteLength(body);
    return { lastSeq: seq, waiting: state.waiting + 1, waitingBytes };
  };
  const drop = (state: State, victims: readonly Row[], stamp: Stamp, reason: string): State => {
    if (victims.length === 0) return state;
    let { waitingBytes } = state;
    for (const { id, body } of victims) {
      sql.remove.run(id);
      waitingBytes -= Buffer.byteLength(body);
    }
    sql.addToCounter.run('dropped', victims.length);
    let next: State = { ...state, waiting: state.waiting - victims.length, waitingBytes };
    for (const body of gapsOf(victims, reason)) next = write(next, { kind: 'event', body }, stamp);
    return next;
  };
  return { write, drop };
}

/**
 * The oldest records when there are too many bytes; else those of them that are too old, once they are many or a
 * tenth over: each drop leaves a gap event behind, and one for every record would double what is written.
 */
function tooMuch(sql: OutboxSql, { waitingBytes }: State, { ts }: Stamp, limits: OutboxOptions): Row[] {
  if (waitingBytes > limits.maxBytes) return sql.oldest.all(DROP_CHUNK);
  // Of an unsynced row no one knows the age: it may be of today, dated 1970.
  const stale = sql.stale.all(DROP_CHUNK, ts - limits.maxAgeMs);
  const isOverdue = stale.some((row) => row.ts < ts - 1.1 * limits.maxAgeMs);
  return isOverdue || stale.length === DROP_CHUNK ? stale : [];
}

function gapOf(bootId: string, { from, to, reason }: Owed): NewRecord {
  return { kind: 'event', body: { kind: 'gap', bootId, from, to, records: to - from + 1, reason } };
}

/** A row as it is sent; undefined when an earlier version wrote what cannot be read. */
function recordOf(row: Row): StoredRecord | undefined {
  if (row.kind !== 'window') return { ...row, kind: row.kind === 'event' ? 'event' : 'window' };
  try {
    return { ...row, kind: 'window', body: JSON.stringify(toWire(readLongWindow(row.body))) };
  } catch {
    return undefined;
  }
}

/** By the clock that both moments have: of one boot the monotonic one, else the wall clock where both trust it. */
function ageOf(row: Row, bootId: string, now: Stamp): number | undefined {
  if (row.bootId === bootId) return Math.max(0, now.monoMs - row.monoMs);
  const isKnown = row.clock === 'synced' && now.clock === 'synced';
  return isKnown ? Math.max(0, now.ts - row.ts) : undefined;
}
