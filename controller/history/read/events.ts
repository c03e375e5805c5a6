import type { Sqlite } from '../../../shared/sqlite.ts';
import type { EventRow } from '../../api/schemas.ts';
import { FLAGS } from '../schema.ts';

export interface EventRange {
  /** Only these devices; all when it is undefined. */
  readonly devices: readonly string[] | undefined;
  readonly kind?: string | undefined;
  /** Only events in whose body this stands, whatever the case of ASCII letters. */
  readonly contains?: string | undefined;
  readonly since: number;
  /** Not included. */
  readonly until: number;
  readonly limit: number;
}

export interface EventCore {
  /** Newest first. */
  events(range: EventRange): EventRow[];
}

/** A stored event. */
export interface StoredEvent {
  readonly device: string;
  readonly ts: number;
  readonly flags: number;
  readonly kind: string;
  readonly body: string;
}

/** Events, on a connection that is only read. */
export function createEventCore(sqlite: Sqlite): EventCore {
  const select = (filter: string) =>
    sqlite.prepare<Record<string, unknown>, StoredEvent>(
      `SELECT series.name AS device, ts, flags, events.kind AS kind, body
       FROM events JOIN series ON series.id = events.device
       WHERE ts >= @since AND ts < @until AND (@kind IS NULL OR events.kind = @kind)
         AND (@contains IS NULL OR instr(lower(body), lower(@contains)) > 0) ${filter}
       ORDER BY ts DESC, events.id DESC LIMIT @limit`,
    );
  const ofAll = select('');
  const ofOne = select("AND device = (SELECT id FROM series WHERE kind = 'device' AND name = @device)");
  const ofSome = select('AND series.name IN (SELECT value FROM json_each(@devices))');
  return {
    events: ({ devices, kind = null, contains = null, ...range }) => {
      const statement = devices === undefined ? ofAll : devices.length === 1 ? ofOne : ofSome;
      const target = { device: devices?.[0] ?? '', devices: JSON.stringify(devices ?? []) };
      return statement.all({ ...range, kind, contains, ...target }).map(eventOf);
    },
  };
}

/** An event as the API gives it; its body was checked when it came in. */
export function eventOf({ device, ts, flags, kind, body }: StoredEvent): EventRow {
  return {
    device,
    ts,
    ...((flags & FLAGS.redated) === 0 ? {} : { redated: true }),
    kind,
    body: JSON.parse(body) as EventRow['body'],
  };
}
