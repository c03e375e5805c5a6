import { describeError } from '../../../shared/errors.ts';
import { problemsOfSqlite, type Sqlite } from '../../../shared/sqlite.ts';
import { ROLLED_UP } from '../schema.ts';

/** Queries that count what must not be; the text says what it is. */
const RULES: readonly (readonly [what: string, sql: string])[] = [
  [
    'ranges of committed numbers that overlap or are turned round',
    `SELECT count(*) FROM (
       SELECT from_seq, to_seq, lag(to_seq) OVER (PARTITION BY boot ORDER BY from_seq) AS before FROM seen
     ) WHERE from_seq > to_seq OR from_seq <= before`,
  ],
  ['boots of no device', 'SELECT count(*) FROM boots WHERE device NOT IN (SELECT id FROM series)'],
  ['ranges of no boot', 'SELECT count(*) FROM seen WHERE boot NOT IN (SELECT id FROM boots)'],
  ['windows of no boot', 'SELECT count(*) FROM windows WHERE boot NOT IN (SELECT id FROM boots)'],
  ['windows whose number does not count as committed', notSeen('windows')],
  ['events whose number does not count as committed', notSeen('events')],
  ['windows that differ from their count', notCounted('windows')],
  ['events that differ from their count', notCounted('events')],
  ...['rollup_minute', 'rollup_hour', 'rollup_day'].map(
    (table) => [`${table}: series that are not known`, strange(table)] as const,
  ),
];

function notSeen(table: string): string {
  return `SELECT count(*) FROM ${table} AS row WHERE boot IS NOT NULL AND seq > coalesce(
    (SELECT to_seq FROM seen WHERE seen.boot = row.boot AND from_seq <= row.seq
     ORDER BY from_seq DESC LIMIT 1), -1)`;
}

function notCounted(table: string): string {
  return `SELECT abs((SELECT count(*) FROM ${table}) -
    (SELECT coalesce(sum(rows), 0) FROM counts WHERE name = '${table}'))`;
}

/** Goes from series to series: the rows of one lie together. */
function strange(table: string): string {
  return `WITH RECURSIVE found (id) AS (
      SELECT min(key) >> 32 FROM ${table}
      UNION ALL
      SELECT (SELECT min(key) >> 32 FROM ${table} WHERE key >= (found.id + 1) << 32)
      FROM found WHERE found.id IS NOT NULL
    )
    SELECT count(*) FROM found WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM series)`;
}

/**
 * What is wrong with a history: its file, and whether its tables agree. It reads all of it, in one
 * transaction: as it was at one moment.
 * @param isDeep whether the indices are compared with their tables too
 * @returns one line for people each; empty when it is sound
 */
export function problemsOfHistory(sqlite: Sqlite, isDeep: boolean): string[] {
  return sqlite.transaction(() => {
    const ofFile = problemsOfSqlite(sqlite, isDeep);
    // Tables of a broken file say nothing.
    if (ofFile.length > 0) return ofFile;
    try {
      return [...RULES.flatMap((rule) => breaches(sqlite, rule)), ...problemsOfMark(sqlite)];
    } catch (error) {
      return [describeError(error)];
    }
  })();
}

function breaches(sqlite: Sqlite, [what, sql]: readonly [string, string]): string[] {
  const count = Number(sqlite.prepare(sql).pluck().get());
  return count === 0 ? [] : [`${count} ${what}`];
}

function problemsOfMark(sqlite: Sqlite): string[] {
  const mark = sqlite.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(ROLLED_UP) ?? 0;
  return Number.isSafeInteger(Number(mark)) && Number(mark) >= 0
    ? []
    : [`the last rolled-up window is ${String(mark)}: expected a whole number`];
}
