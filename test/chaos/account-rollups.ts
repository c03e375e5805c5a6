import { ROLLED_UP } from '../../controller/history/schema.ts';
import { summaryOfRow } from '../../controller/history/summary/rows.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

export interface RollUpAccount {
  /** Windows that are merged into the roll-ups. */
  readonly rolledUpWindows: number;
  readonly problems: readonly string[];
}

const TABLES = ['rollup_minute', 'rollup_hour', 'rollup_day'] as const;

/**
 * Of every device and of the fleet: the windows in each roll-up, and those that are not rolled up yet, must be
 * all that are stored.
 */
export function problemsOfRollUps(history: Sqlite): RollUpAccount {
  const rolledUp = Number(
    history.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(ROLLED_UP) ?? 0,
  );
  const count = history.prepare<[number], { device: number; windows: number }>(
    'SELECT device, count(*) AS windows FROM windows WHERE id <= ? GROUP BY device',
  );
  const expected = new Map(count.all(rolledUp).map(({ device, windows }) => [device, windows]));
  const all = [...expected.values()].reduce((total, windows) => total + windows, 0);
  const fleet = history.prepare<[], number>("SELECT id FROM series WHERE kind = 'fleet'").pluck().get();
  if (fleet !== undefined && all > 0) expected.set(fleet, all);
  const problems = TABLES.flatMap((table) => {
    const found = windowsIn(history, table);
    return [...expected].flatMap(([series, windows]) => {
      const has = found.get(series) ?? 0;
      return has === windows ? [] : [`${table}, series ${series}: ${has} windows of ${windows}`];
    });
  });
  return { rolledUpWindows: all, problems };
}

/** Windows in all rows of a series, by its number. */
function windowsIn(history: Sqlite, table: (typeof TABLES)[number]): Map<number, number> {
  const found = new Map<number, number>();
  const rows = history.prepare<[], { key: number; body: string }>(`SELECT key, body FROM ${table}`);
  for (const { key, body } of rows.iterate()) {
    const series = Math.floor(key / 2 ** 32);
    found.set(series, (found.get(series) ?? 0) + summaryOfRow({ body }, undefined).windows);
  }
  return found;
}
