import { statSync } from 'node:fs';
import type { Sqlite } from '../../../shared/sqlite.ts';
import { ROLLED_UP } from '../schema.ts';
import type { StoredCounts } from './api.ts';

/** Late windows that are passed over when the oldest waiting one is looked for, at most. */
const MAX_PASSED = 1_000;

/** Reads how much is stored; quick, however much that is. */
export function createCounts(sqlite: Sqlite, path: string): () => StoredCounts {
  const pluck = (sql: string) => sqlite.prepare<unknown[], number>(sql).pluck();
  const rows = pluck('SELECT rows FROM counts WHERE name = ?');
  const bytes = pluck('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size');
  const mark = pluck('SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?');
  const newest = pluck('SELECT max(id) FROM windows');
  const since = pluck(
    `SELECT at FROM (SELECT at, flags FROM windows WHERE id > ? ORDER BY id LIMIT ${MAX_PASSED})
     WHERE flags = 0 LIMIT 1`,
  );
  const boots = pluck('SELECT max(id) FROM boots');
  const series = pluck('SELECT count(*) FROM series');
  const read = sqlite.transaction(() => {
    const rolledUp = mark.get(ROLLED_UP) ?? 0;
    return {
      windows: rows.get('windows') ?? 0,
      events: rows.get('events') ?? 0,
      bytes: bytes.get() ?? 0,
      lagRecords: Math.max(0, (newest.get() ?? 0) - rolledUp),
      lagSinceTs: since.get(rolledUp),
      boots: boots.get() ?? 0,
      series: series.get() ?? 0,
    };
  });
  return () => ({ ...read(), walBytes: statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0 });
}
