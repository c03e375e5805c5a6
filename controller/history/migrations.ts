import { HISTORY_SCHEMA } from './schema.ts';

/**
 * Steps of the schema of `history.db`, one per version; a step that has been released is never changed.
 * Step 3 sets the rows of the versions before aside in `old_*` tables; `convertOldRows` moves them over. What
 * is not telemetry was taken over by `fleet.db` before.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE windows (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    clock TEXT NOT NULL,
    duration_ms REAL NOT NULL,
    family TEXT NOT NULL,
    switches INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    unreadable INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    slowdown REAL NOT NULL,
    requirement TEXT NOT NULL,
    UNIQUE (device, boot_id, seq)
  ) STRICT;
  CREATE INDEX windows_by_ts ON windows (ts);
  CREATE INDEX windows_by_device_ts ON windows (device, ts);

  CREATE TABLE window_points (
    window INTEGER NOT NULL REFERENCES windows (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    pe TEXT NOT NULL,
    level INTEGER NOT NULL,
    inferences INTEGER NOT NULL,
    misses INTEGER NOT NULL,
    labelled INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    latency_sum_ms REAL NOT NULL,
    latency_min_ms REAL NOT NULL,
    latency_max_ms REAL NOT NULL,
    latency_sketch BLOB NOT NULL,
    PRIMARY KEY (window, position)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    clock TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (device, boot_id, seq)
  ) STRICT;
  CREATE INDEX events_by_ts ON events (ts);
  CREATE INDEX events_by_device_ts ON events (device, ts);

  CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    first_seen_ts INTEGER NOT NULL,
    last_seen_ts INTEGER NOT NULL,
    presence TEXT,
    reported TEXT,
    labels TEXT NOT NULL DEFAULT '{}'
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    priority INTEGER NOT NULL,
    selector TEXT,
    members TEXT NOT NULL DEFAULT '[]',
    anonymous INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE desired (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    n INTEGER NOT NULL,
    requirement TEXT NOT NULL,
    settings TEXT NOT NULL,
    groups TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (kind, name)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE windows ADD COLUMN sheds INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE windows ADD COLUMN price REAL;
  `,
  `
  DROP TABLE devices;
  DROP TABLE groups;
  DROP TABLE desired;
  DROP TABLE meta;
  DROP INDEX windows_by_ts;
  DROP INDEX windows_by_device_ts;
  DROP INDEX events_by_ts;
  DROP INDEX events_by_device_ts;
  ALTER TABLE windows RENAME TO old_windows;
  ALTER TABLE window_points RENAME TO old_window_points;
  ALTER TABLE events RENAME TO old_events;
  ${HISTORY_SCHEMA}
  `,
];
