import Type, { type Static } from 'typebox';
import { type Reported, ReportedSchema } from '../../shared/protocol/reported.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

/** What is known of a device's connection; see `registry/presence.ts`, which makes it. */
export const PresenceSchema = Type.Object({
  online: Type.Boolean(),
  session: Type.String(),
  /** Boot ids in the order in which they announced themselves, newest last. */
  bootIds: Type.Array(Type.String()),
  /** Wall clock of the last change of `online`. */
  sinceTs: Type.Number(),
  /** When two programs were last seen to use the identity in turn. */
  conflictTs: Type.Optional(Type.Number()),
});
export type Presence = Static<typeof PresenceSchema>;

export interface StoredDevice {
  readonly id: string;
  readonly firstSeenTs: number;
  readonly lastSeenTs: number;
  readonly presence: Presence | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface DeviceStore {
  all(): StoredDevice[];
  /** Notes that something came from the device; makes the device when it is new. */
  seen(device: string, ts: number): void;
  savePresence(device: string, presence: Presence): void;
  saveReported(device: string, reported: Reported): void;
  saveLabels(device: string, labels: Readonly<Record<string, string>>): void;
  reported(device: string): Reported | undefined;
}

interface Row {
  readonly id: string;
  readonly firstSeenTs: number;
  readonly lastSeenTs: number;
  readonly presence: string | null;
  readonly labels: string;
}

export function createDeviceStore(sqlite: Sqlite): DeviceStore {
  const parsePresence = parserOf(PresenceSchema);
  const parseLabels = parserOf(Type.Record(Type.String(), Type.String()));
  const parseReported = parserOf(ReportedSchema);
  const all = sqlite.prepare<[], Row>(
    'SELECT id, first_seen_ts AS firstSeenTs, last_seen_ts AS lastSeenTs, presence, labels FROM devices ORDER BY id',
  );
  const seen = sqlite.prepare(
    `INSERT INTO devices (id, first_seen_ts, last_seen_ts) VALUES (@device, @ts, @ts)
     ON CONFLICT (id) DO UPDATE SET last_seen_ts = max(last_seen_ts, excluded.last_seen_ts)`,
  );
  const reported = sqlite
    .prepare<[string], string | null>('SELECT reported FROM devices WHERE id = ?')
    .pluck();
  const save = (column: 'presence' | 'reported' | 'labels') => {
    const statement = sqlite.prepare(`UPDATE devices SET ${column} = ? WHERE id = ?`);
    return (device: string, value: unknown): void => {
      statement.run(JSON.stringify(value), device);
    };
  };
  return {
    all: () =>
      all.all().map((row) => ({
        ...row,
        presence:
          row.presence === null ? undefined : parseJson(row.presence, parsePresence, 'stored presence'),
        labels: parseJson(row.labels, parseLabels, 'stored labels'),
      })),
    seen: (device, ts) => {
      seen.run({ device, ts: Math.round(ts) });
    },
    savePresence: save('presence'),
    saveReported: save('reported'),
    saveLabels: save('labels'),
    reported: (device) => {
      const text = reported.get(device) ?? undefined;
      return text === undefined ? undefined : parseJson(text, parseReported, 'stored report');
    },
  };
}
