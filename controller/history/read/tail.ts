import type { Sqlite } from '../../../shared/sqlite.ts';
import type { TailContent, TailLine } from '../../api/history-schemas.ts';
import { eventOf, type StoredEvent } from './events.ts';
import { type LineRow, latestOf } from './latest.ts';

/** Up to where a reader has come: the ids of the newest window and event that it was given. */
export interface TailCursor {
  readonly window: number;
  readonly event: number;
}

export interface TailRange {
  /** Only these devices; all when it is undefined. */
  readonly devices: readonly string[] | undefined;
  readonly what: TailContent;
  /** Undefined: from now on. */
  readonly after: TailCursor | undefined;
  /** Windows and events, each at most. */
  readonly limit: number;
}

export interface TailPage {
  /** In the order of their times. */
  readonly lines: readonly TailLine[];
  readonly cursor: TailCursor;
  /** Whether there is more already. */
  readonly isMore: boolean;
}

export interface TailCore {
  /** What has come in since the last page. */
  tail(range: TailRange): TailPage;
}

interface Numbered {
  readonly id: number;
}
type WindowLine = LineRow & Numbered & { readonly device: string };
type EventLine = StoredEvent & Numbered;
type Statement<T> = (after: number, devices: string | null, limit: number) => T[];

/** Pages of what comes in, on a connection that is only read. */
export function createTailCore(sqlite: Sqlite): TailCore {
  const newest = sqlite.prepare<[], TailCursor>(
    `SELECT coalesce((SELECT max(id) FROM windows), 0) AS window,
            coalesce((SELECT max(id) FROM events), 0) AS event`,
  );
  const windows = pagesOf<WindowLine>(sqlite, 'windows', 'at, flags, body');
  const events = pagesOf<EventLine>(sqlite, 'events', 'ts, flags, events.kind AS kind, body');
  const read = sqlite.transaction(({ devices, what, after, limit }: TailRange): TailPage => {
    const end = newest.get() ?? { window: 0, event: 0 };
    if (after === undefined) return { lines: [], cursor: end, isMore: false };
    const names = devices === undefined ? null : JSON.stringify(devices);
    const newWindows = what === 'events' ? [] : windows(after.window, names, limit);
    const newEvents = what === 'windows' ? [] : events(after.event, names, limit);
    return {
      lines: [...newWindows.map(windowLine), ...newEvents.map(eventLine)].sort((a, b) => a.ts - b.ts),
      cursor: {
        window: cursorOf(newWindows, limit, end.window),
        event: cursorOf(newEvents, limit, end.event),
      },
      isMore: newWindows.length === limit || newEvents.length === limit,
    };
  });
  return { tail: (range) => read(range) };
}

function pagesOf<T>(sqlite: Sqlite, table: 'windows' | 'events', columns: string): Statement<T> {
  const statement = sqlite.prepare<{ after: number; devices: string | null; limit: number }, T>(
    `SELECT ${table}.id AS id, series.name AS device, ${columns}
     FROM ${table} JOIN series ON series.id = ${table}.device
     WHERE ${table}.id > @after
       AND (@devices IS NULL OR series.name IN (SELECT value FROM json_each(@devices)))
     ORDER BY ${table}.id LIMIT @limit`,
  );
  return (after, devices, limit) => statement.all({ after, devices, limit });
}

/** A page that is not full has come to the end, whatever of it was wanted. */
function cursorOf(rows: readonly Numbered[], limit: number, end: number): number {
  return rows.length === limit ? (rows.at(-1)?.id ?? end) : end;
}

function windowLine(row: WindowLine): TailLine {
  return { what: 'window', device: row.device, ...latestOf(row) };
}

function eventLine(row: EventLine): TailLine {
  return { what: 'event', ...eventOf(row) };
}
