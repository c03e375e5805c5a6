import type { EventEnvelope } from '../../shared/protocol/event.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { type EventRow, EventRowSchema } from '../api/schemas.ts';

/** Stands where a boot id would: alarms are the controller's own. No boot id looks like this. */
const OWN_BOOT = 'controller';

export interface EventRange {
  /** Only these devices; all when it is undefined. */
  readonly devices: readonly string[] | undefined;
  readonly kind: string | undefined;
  readonly since: number;
  /** Not included. */
  readonly until: number;
  readonly limit: number;
}

export interface Alarm {
  readonly device: string;
  readonly ts: number;
  readonly what: string;
  readonly reason: string;
}

export interface EventStore {
  /** Whether it was new. */
  insert(envelope: EventEnvelope): boolean;
  /** Stores something that the controller itself found. */
  raise(alarm: Alarm): void;
  count(): number;
  /** Newest first. */
  list(range: EventRange): EventRow[];
}

type Row = { readonly device: string; readonly ts: number; readonly kind: string; readonly body: string };

export function createEventStore(sqlite: Sqlite): EventStore {
  const parseBody = parserOf(EventRowSchema.properties.body);
  const columns = '(device, boot_id, seq, ts, clock, kind, body)';
  const insert = sqlite.prepare(`INSERT OR IGNORE INTO events ${columns} VALUES (?, ?, ?, ?, ?, ?, ?)`);
  const raise = sqlite.prepare(
    `INSERT INTO events ${columns}
     SELECT @device, @boot, coalesce(max(seq), 0) + 1, @ts, 'synced', 'alarm', @body
     FROM events WHERE device = @device AND boot_id = @boot`,
  );
  const count = sqlite.prepare('SELECT count(*) FROM events').pluck();
  const list = sqlite.prepare<Record<string, unknown>, Row>(
    `SELECT device, ts, kind, body FROM events
     WHERE ts >= @since AND ts < @until AND (@kind IS NULL OR kind = @kind)
       AND (@devices IS NULL OR device IN (SELECT value FROM json_each(@devices)))
     ORDER BY ts DESC, id DESC LIMIT @limit`,
  );
  return {
    insert: ({ device, bootId, seq, ts, clock, body }) =>
      insert.run(device, bootId, seq, Math.round(ts), clock, body.kind, JSON.stringify(body)).changes > 0,
    raise: ({ device, ts, what, reason }) => {
      const body = JSON.stringify({ kind: 'alarm', what, reason });
      raise.run({ device, boot: OWN_BOOT, ts: Math.round(ts), body });
    },
    count: () => Number(count.get()),
    list: ({ devices, kind, ...range }) =>
      list
        .all({
          ...range,
          kind: kind ?? null,
          devices: devices === undefined ? null : JSON.stringify(devices),
        })
        .map((row) => ({ ...row, body: parseJson(row.body, parseBody, 'stored event') })),
  };
}
