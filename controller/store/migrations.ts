/** Schema of `fleet.db`, one step per version; a step that has been released is never changed. */
export const FLEET_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

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
  CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    device TEXT,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    text TEXT NOT NULL,
    since_ts INTEGER NOT NULL,
    fired_ts INTEGER,
    resolved_ts INTEGER
  ) STRICT;
  CREATE INDEX alerts_by_state ON alerts (state, resolved_ts);

  CREATE TABLE alert_notifications (
    id INTEGER PRIMARY KEY,
    notification TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
  ) STRICT;

  CREATE TABLE alert_spells (device TEXT PRIMARY KEY, spells TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE releases (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    manifest BLOB NOT NULL,
    signature TEXT NOT NULL,
    published_ts INTEGER NOT NULL,
    PRIMARY KEY (kind, name, version)
  ) STRICT;

  CREATE TABLE rollouts (
    id TEXT PRIMARY KEY,
    created_ts INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE rollout_devices (
    rollout TEXT NOT NULL,
    device TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (rollout, device)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE orders (
    device TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (device, kind)
  ) STRICT, WITHOUT ROWID;
  `,
];
