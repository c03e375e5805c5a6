import Type, { type Static } from 'typebox';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { type AlertNotification, AlertNotificationSchema, type AlertRow } from '../api/alert-schemas.ts';

/** Resolved alerts that are kept. */
const MAX_RESOLVED = 10_000;
/** Notifications that wait for the webhook. */
const MAX_NOTIFICATIONS = 10_000;

/** What the events of a device say lasts, or has lasted, by what it is. */
export const SpellsSchema = Type.Record(
  Type.String(),
  Type.Object({
    active: Type.Boolean(),
    /** Of the newest event of it. */
    ts: Type.Number(),
    /** When it began. */
    sinceTs: Type.Number(),
    reason: Type.String(),
  }),
);
export type Spells = Readonly<Static<typeof SpellsSchema>>;

/** What has changed since it was last stored. */
export interface AlertChanges {
  /** Alerts that fire or are resolved; pending ones are not stored. */
  readonly alerts: readonly AlertRow[];
  readonly spells: ReadonlyMap<string, Spells>;
  readonly notifications: readonly AlertNotification[];
}

export interface AlertStore {
  /** Alerts that fire. */
  firing(): AlertRow[];
  /** By device. */
  spells(): Map<string, Spells>;
  /** Stores all of it, or, when it throws, none. The oldest of what there is too much of is forgotten. */
  save(changes: AlertChanges): void;
  /** The ones that were resolved last, newest first, of these devices; of everything when it is undefined. */
  resolved(devices: readonly string[] | undefined, limit: number): AlertRow[];
  /** What the webhook was not told yet, oldest first. */
  undelivered(): AlertNotification[];
  /** Forgets notifications, by their `notification`. */
  forget(notifications: readonly string[]): void;
  /** Id of the newest alert, 0 when there is none. */
  lastId(): number;
}

interface Row extends Omit<AlertRow, 'id' | 'firedTs' | 'resolvedTs'> {
  readonly id: number;
  readonly firedTs: number | null;
  readonly resolvedTs: number | null;
}

function rowOf({ id, firedTs, resolvedTs, ...row }: Row): AlertRow {
  return {
    ...row,
    id: String(id),
    ...(firedTs === null ? {} : { firedTs }),
    ...(resolvedTs === null ? {} : { resolvedTs }),
  };
}

const COLUMNS = `id, rule, device, severity, state, text,
  since_ts AS sinceTs, fired_ts AS firedTs, resolved_ts AS resolvedTs`;

/** Alerts in `fleet.db`, so that a restart neither forgets them nor tells of them again. */
export function createAlertStore(sqlite: Sqlite): AlertStore {
  const parseNotification = parserOf(AlertNotificationSchema);
  const parseSpells = parserOf(SpellsSchema);
  const firing = sqlite.prepare<[], Row>(`SELECT ${COLUMNS} FROM alerts WHERE state = 'firing' ORDER BY id`);
  const spells = sqlite.prepare<[], { device: string; spells: string }>(
    'SELECT device, spells FROM alert_spells',
  );
  const resolved = sqlite.prepare<Record<string, unknown>, Row>(
    `SELECT ${COLUMNS} FROM alerts
     WHERE state = 'resolved' AND (@devices IS NULL OR device IN (SELECT value FROM json_each(@devices)))
     ORDER BY resolved_ts DESC, id DESC LIMIT @limit`,
  );
  const undelivered = sqlite.prepare<[], string>('SELECT body FROM alert_notifications ORDER BY id').pluck();
  const lastId = sqlite.prepare<[], number>('SELECT coalesce(max(id), 0) FROM alerts').pluck();
  const forget = sqlite.prepare('DELETE FROM alert_notifications WHERE notification = ?');
  const forgetAll = sqlite.transaction((notifications: readonly string[]) => {
    for (const each of notifications) forget.run(each);
  });
  return {
    firing: () => firing.all().map(rowOf),
    spells: () =>
      new Map(spells.all().map((row) => [row.device, parseJson(row.spells, parseSpells, 'stored spells')])),
    save: saverOf(sqlite),
    resolved: (devices, limit) =>
      resolved.all({ devices: devices === undefined ? null : JSON.stringify(devices), limit }).map(rowOf),
    undelivered: () =>
      undelivered.all().map((body) => parseJson(body, parseNotification, 'stored notification')),
    forget: (notifications) => {
      forgetAll(notifications);
    },
    lastId: () => lastId.get() ?? 0,
  };
}

function saverOf(sqlite: Sqlite): AlertStore['save'] {
  const put = sqlite.prepare('INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const putSpells = sqlite.prepare('INSERT OR REPLACE INTO alert_spells VALUES (?, ?)');
  const dropSpells = sqlite.prepare('DELETE FROM alert_spells WHERE device = ?');
  const notify = sqlite.prepare(
    'INSERT OR IGNORE INTO alert_notifications (notification, body) VALUES (?, ?)',
  );
  const pruneResolved = sqlite.prepare(
    `DELETE FROM alerts WHERE id IN (
       SELECT id FROM alerts WHERE state = 'resolved' ORDER BY resolved_ts DESC, id DESC
       LIMIT -1 OFFSET ${MAX_RESOLVED})`,
  );
  const pruneNotifications = sqlite.prepare(
    `DELETE FROM alert_notifications WHERE id IN (
       SELECT id FROM alert_notifications ORDER BY id DESC LIMIT -1 OFFSET ${MAX_NOTIFICATIONS})`,
  );
  return sqlite.transaction(({ alerts, spells, notifications }: AlertChanges): void => {
    for (const row of alerts) put.run(...valuesOf(row));
    for (const [device, all] of spells) {
      if (Object.keys(all).length === 0) dropSpells.run(device);
      else putSpells.run(device, JSON.stringify(all));
    }
    for (const each of notifications) notify.run(each.notification, JSON.stringify(each));
    if (alerts.some(({ state }) => state === 'resolved')) pruneResolved.run();
    if (notifications.length > 0) pruneNotifications.run();
  });
}

function valuesOf(row: AlertRow): (string | number | null)[] {
  const times = [row.sinceTs, row.firedTs, row.resolvedTs].map((ts) =>
    ts === undefined ? null : Math.round(ts),
  );
  return [Number(row.id), row.rule, row.device, row.severity, row.state, row.text, ...times];
}
