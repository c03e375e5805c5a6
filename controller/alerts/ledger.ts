import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { AlertNotification, AlertRow } from '../api/alert-schemas.ts';
import type { AlertStore, Spells } from '../store/alert-store.ts';

/** Alerts that wait to be stored, at most; a disk that is full for days must not fill the memory too. */
const MAX_WAITING = 10_000;

/** Brings what has changed into the store, later where it cannot be now. */
export interface Ledger {
  note(alerts: readonly AlertRow[], notifications: readonly AlertNotification[]): void;
  noteSpells(spells: ReadonlyMap<string, Spells>): void;
  /** Stores what waits. A store that refuses is logged once and asked again the next time. */
  save(): void;
}

export function createLedger(store: Pick<AlertStore, 'save'>, log: Logger): Ledger {
  const alerts = new Map<string, AlertRow>();
  const spells = new Map<string, Spells>();
  const notifications = new Map<string, AlertNotification>();
  let failed = false;

  return {
    note: (rows, told) => {
      for (const row of rows) put(alerts, row.id, row);
      for (const each of told) put(notifications, each.notification, each);
    },
    noteSpells: (changed) => {
      // As many as there are devices.
      for (const [device, all] of changed) spells.set(device, all);
    },
    save: () => {
      if (alerts.size + spells.size + notifications.size === 0) return;
      try {
        store.save({ alerts: [...alerts.values()], spells, notifications: [...notifications.values()] });
      } catch (error) {
        if (!failed) log.error({ reason: describeError(error) }, 'alerts cannot be stored; trying again');
        failed = true;
        return;
      }
      failed = false;
      for (const map of [alerts, spells, notifications]) map.clear();
    },
  };
}

/** As the newest; the oldest goes where there are too many. */
function put<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > MAX_WAITING && oldest !== undefined) map.delete(oldest);
}
