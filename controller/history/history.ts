import { join } from 'node:path';
import { makeStateFolder } from '../../shared/files.ts';
import type { EventEnvelope } from '../../shared/protocol/event.ts';
import type { WindowEnvelope } from '../../shared/protocol/window.ts';
import { openSqlite, type Sqlite } from '../../shared/sqlite.ts';
import { createDesiredStore, type DesiredStore } from './desired-store.ts';
import { createDeviceStore, type DeviceStore } from './device-store.ts';
import { createEventStore, type EventStore } from './event-store.ts';
import { createGroupStore, type GroupStore } from './group-store.ts';
import { createMetaStore, type MetaStore } from './meta-store.ts';
import { MIGRATIONS } from './migrations.ts';
import { createWindowStore, type WindowStore } from './window-store.ts';

/** One record as it waits for its commit. */
export type TelemetryRecord =
  | { readonly kind: 'window'; readonly envelope: WindowEnvelope }
  | { readonly kind: 'event'; readonly envelope: EventEnvelope };

export interface CommitResult {
  readonly windows: number;
  readonly events: number;
  /** Records that were in the history before. */
  readonly duplicates: number;
}

/** The one owner of the database file: every table behind it, all on one connection. */
export interface History extends Disposable {
  readonly windows: WindowStore;
  readonly events: EventStore;
  readonly devices: DeviceStore;
  readonly groups: GroupStore;
  readonly desired: DesiredStore;
  readonly meta: MetaStore;
  /**
   * Stores records in one transaction: after it returns all of them are in the file, after it threw none
   * that was not there before. Repeats change nothing.
   */
  commit(records: readonly TelemetryRecord[], receivedTs: number): CommitResult;
  /** Runs `work` in one transaction. */
  transaction<T>(work: () => T): T;
  counts(): { windows: number; events: number };
  /** Size of the database, without its log. */
  bytes(): number;
  /** The connection, for tests that fill the disk. */
  readonly sqlite: Sqlite;
}

/**
 * Opens the history in a state folder, or makes both.
 * @throws AppError `conflict` when another controller has the folder, `config` when it cannot be made
 */
export function openHistory(stateDir: string): History {
  makeStateFolder(stateDir, 0o700);
  const sqlite = openSqlite(join(stateDir, 'history.db'), {
    migrations: MIGRATIONS,
    exclusive: true,
    // Devices forget what is acknowledged, and remember the versions that they were told.
    durable: true,
  });
  const windows = createWindowStore(sqlite);
  const events = createEventStore(sqlite);
  const devices = createDeviceStore(sqlite);
  const parts = { windows, events, devices };
  const storeAll = sqlite.transaction((records: readonly TelemetryRecord[], receivedTs: number) =>
    store(parts, records, receivedTs),
  );
  // Counted once: counting reads a whole index, which takes seconds when there are many.
  let stored = windows.count();
  const bytes = sqlite.prepare(
    'SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size',
  );
  return {
    ...parts,
    groups: createGroupStore(sqlite),
    desired: createDesiredStore(sqlite),
    meta: createMetaStore(sqlite),
    commit: (records, receivedTs) => {
      const result = storeAll(records, receivedTs);
      stored += result.windows;
      return result;
    },
    counts: () => ({ windows: stored, events: events.count() }),
    transaction: (work) => sqlite.transaction(work)(),
    bytes: () => Number(bytes.pluck().get()),
    sqlite,
    [Symbol.dispose]: () => sqlite.close(),
  };
}

function store(
  parts: Pick<History, 'windows' | 'events' | 'devices'>,
  records: readonly TelemetryRecord[],
  receivedTs: number,
): CommitResult {
  let windows = 0;
  let events = 0;
  for (const record of records) {
    if (record.kind === 'window') windows += parts.windows.insert(record.envelope) ? 1 : 0;
    else events += parts.events.insert(record.envelope) ? 1 : 0;
  }
  for (const device of new Set(records.map(({ envelope }) => envelope.device)))
    parts.devices.seen(device, receivedTs);
  return { windows, events, duplicates: records.length - windows - events };
}
