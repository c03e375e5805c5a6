/**
 * Schema of `history.db`.
 *
 * `series` gives every device, group and the fleet a small number (below 2^21): the roll-ups are clustered
 * by it and by time, so that a span of one series lies in neighbouring pages.
 *
 * `seen` is what makes a repeated record harmless: closed, disjoint ranges of the sequence numbers of a boot
 * that are committed. It outlives the rows themselves, which retention deletes.
 *
 * `counts` is kept by triggers where rows are few at a time and by the commit where they are many: counting
 * the rows themselves would read a whole table.
 */
export const HISTORY_SCHEMA = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE counts (name TEXT PRIMARY KEY, rows INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE series (
    id INTEGER PRIMARY KEY CHECK (id > 0 AND id < 2097152),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (kind, name)
  ) STRICT;
  CREATE TABLE families (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE) STRICT;

  CREATE TABLE boots (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    offset_ms REAL,
    previous_boot TEXT,
    previous_last_seq INTEGER,
    first_ts INTEGER,
    UNIQUE (device, boot_id)
  ) STRICT;
  CREATE TABLE seen (
    boot INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    PRIMARY KEY (boot, from_seq)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE windows (
    id INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    device INTEGER NOT NULL,
    at INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX windows_by_device_at ON windows (device, at);

  CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    boot INTEGER,
    seq INTEGER,
    device INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_by_ts ON events (ts);
  CREATE INDEX events_by_device_ts ON events (device, ts);
  CREATE INDEX gap_events_by_ts ON events (ts) WHERE kind = 'gap';
${rollUpTable('rollup_minute')}
${rollUpTable('rollup_hour')}
${rollUpTable('rollup_day')}

  INSERT INTO counts VALUES ('windows', 0), ('events', 0);
  CREATE TRIGGER windows_deleted AFTER DELETE ON windows BEGIN
    UPDATE counts SET rows = rows - 1 WHERE name = 'windows';
  END;
  CREATE TRIGGER events_deleted AFTER DELETE ON events BEGIN
    UPDATE counts SET rows = rows - 1 WHERE name = 'events';
  END;
`;

/** `key` = id of the series x 2^32 + start of the bucket in minutes since the epoch. */
function rollUpTable(name: string): string {
  return `
  CREATE TABLE ${name} (
    key INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    latency BLOB,
    slowdown BLOB,
    queue BLOB,
    energy BLOB
  ) STRICT;`;
}

/** Bits of `flags` of a window or an event. */
export const FLAGS = {
  /** The device's clock could not be believed: the controller dated it. */
  redated: 1,
  /** It came in more than five minutes after it had ended. */
  late: 2,
} as const;

/** Key in `meta`: the greatest id of a window that is merged into all three roll-ups. */
export const ROLLED_UP = 'rolledUp';
