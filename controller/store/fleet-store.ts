import { join } from 'node:path';
import { makeStateFolder } from '../../shared/files.ts';
import { openSqlite, type Sqlite } from '../../shared/sqlite.ts';
import { createDesiredStore, type DesiredStore } from './desired-store.ts';
import { createDeviceStore, type DeviceStore } from './device-store.ts';
import { createGroupStore, type GroupStore } from './group-store.ts';
import { createMetaStore, type MetaStore } from './meta-store.ts';
import { FLEET_MIGRATIONS } from './migrations.ts';
import { moveFromHistory } from './move-from-history.ts';
import { createOrderStore, type OrderStore } from './order-store.ts';

/** What the controller knows of its fleet besides telemetry: small, read at the start, written as it changes. */
export interface FleetStore extends Disposable {
  readonly devices: DeviceStore;
  readonly groups: GroupStore;
  readonly desired: DesiredStore;
  readonly orders: OrderStore;
  readonly meta: MetaStore;
  /** Runs `work` in one transaction. */
  transaction<T>(work: () => T): T;
  /** The connection, for backups and for the other tables of this file. */
  readonly sqlite: Sqlite;
}

/**
 * Opens `fleet.db` in a state folder, or makes both. It is locked for as long as it is open: whoever holds
 * it owns the whole folder. Must come before the history is opened, from which it takes over what versions
 * before kept there.
 * @throws AppError `conflict` when another controller has the folder, `config` when it cannot be made
 */
export function openFleetStore(stateDir: string): FleetStore {
  makeStateFolder(stateDir, 0o700);
  const sqlite = openSqlite(join(stateDir, 'fleet.db'), {
    migrations: FLEET_MIGRATIONS,
    exclusive: true,
    // Devices remember the versions that they were told.
    durable: true,
  });
  try {
    moveFromHistory(sqlite, join(stateDir, 'history.db'));
    return storesOf(sqlite);
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

function storesOf(sqlite: Sqlite): FleetStore {
  return {
    devices: createDeviceStore(sqlite),
    groups: createGroupStore(sqlite),
    desired: createDesiredStore(sqlite),
    orders: createOrderStore(sqlite),
    meta: createMetaStore(sqlite),
    transaction: (work) => sqlite.transaction(work)(),
    sqlite,
    [Symbol.dispose]: () => sqlite.close(),
  };
}
