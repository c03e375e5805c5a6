import type { Sqlite } from '../../../shared/sqlite.ts';
import { ROLLED_UP } from '../schema.ts';

export interface WindowRow {
  readonly boot: number;
  readonly seq: number;
  /** Number of the device's series. */
  readonly device: number;
  /** Middle of the window, milliseconds since the epoch. */
  readonly at: number;
  readonly flags: number;
  /** JSON of its wire form. */
  readonly body: string;
}

export interface NewEvent {
  readonly boot: number;
  readonly seq: number;
  readonly device: number;
  readonly ts: number;
  readonly flags: number;
  readonly kind: string;
  readonly body: string;
}

export interface Inserts {
  window(row: WindowRow): void;
  event(row: NewEvent): void;
  /** Of the controller itself: without boot and number. */
  alarm(device: number, ts: number, body: string): void;
  /** Adds to the numbers of rows. Before the transaction's end. */
  count(added: { readonly windows: number; readonly events: number }): void;
  /** After a transaction that failed: its ids are given again. */
  forget(): void;
}

/**
 * Inserts rows. Ids only ever rise, also when the newest rows were deleted: roll-ups remember the last one
 * that they took, and would never see a row that got an older id.
 */
export function createInserts(sqlite: Sqlite): Inserts {
  const newestWindow = sqlite.prepare<[string], number>(
    `SELECT max(coalesce((SELECT max(id) FROM windows), 0),
                coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?), 0))`,
  );
  const newestEvent = sqlite.prepare<[], number>('SELECT coalesce(max(id), 0) FROM events');
  newestWindow.pluck();
  newestEvent.pluck();
  const window = sqlite.prepare('INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?)');
  const event = sqlite.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const count = sqlite.prepare('UPDATE counts SET rows = rows + ? WHERE name = ?');
  let windowId: number | undefined;
  let eventId: number | undefined;
  // Numbers are only used up by rows that are stored: a row that is refused leaves no hole.
  const insertEvent = (...fields: readonly (string | number | null)[]): void => {
    const id = (eventId ?? newestEvent.get() ?? 0) + 1;
    event.run(id, ...fields);
    eventId = id;
  };
  return {
    window: ({ boot, seq, device, at, flags, body }) => {
      const id = (windowId ?? newestWindow.get(ROLLED_UP) ?? 0) + 1;
      window.run(id, boot, seq, device, at, flags, body);
      windowId = id;
    },
    event: ({ boot, seq, device, ts, flags, kind, body }) =>
      insertEvent(boot, seq, device, ts, flags, kind, body),
    alarm: (device, ts, body) => insertEvent(null, null, device, ts, 0, 'alarm', body),
    count: ({ windows, events }) => {
      if (windows > 0) count.run(windows, 'windows');
      if (events > 0) count.run(events, 'events');
    },
    forget: () => {
      windowId = undefined;
      eventId = undefined;
    },
  };
}
