import { createHash } from 'node:crypto';
import { invariant } from '../../../shared/errors.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import { ROW_MS } from '../read/plan.ts';
import { keyOf, startOf } from '../read/source.ts';
import { createDeletions } from './deletions.ts';

/*
 * A question about a group is about the devices that are in it now. The rows of a group's own series only
 * save the work of merging theirs: they hold from `fromTs` on what exactly the devices with this hash did.
 */

/** Devices of each group, by its name. */
export type GroupMembers = ReadonlyMap<string, readonly string[]>;

/** What `meta` keeps of a group. */
interface MergedGroup {
  /** Hash of the members. */
  readonly members: string;
  /** From here on the rows are complete, milliseconds since the epoch; the begin of a day. */
  readonly fromTs: number;
}

/** A group whose rows are to be made. */
export interface GroupSeries {
  readonly series: number;
  readonly fromTs: number;
  readonly devices: readonly string[];
}

const PREFIX = 'group/';

/** Key in `meta` of what is known of a group's rows. */
export function groupKey(name: string): string {
  return `${PREFIX}${name}`;
}

/**
 * From when on the rows of a group's series are what these devices did, milliseconds since the epoch.
 * @param value what `meta` has under the `groupKey` of the group
 * @returns undefined when they are of other members, or when there are none
 */
export function mergedFrom(
  value: string | number | undefined,
  devices: readonly string[],
): number | undefined {
  if (value === undefined) return undefined;
  const { members, fromTs } = JSON.parse(String(value)) as MergedGroup;
  return members === hashOf(devices) ? fromTs : undefined;
}

/** The same for the same devices in any order. */
function hashOf(devices: readonly string[]): string {
  const hash = createHash('sha256');
  // No name of a device holds a line break.
  for (const device of [...new Set(devices)].sort()) hash.update(`${device}\n`);
  return hash.digest('base64url');
}

export interface GroupKeeper {
  /**
   * Deletes the rows of groups whose members changed or that are no more, in short steps, and begins anew
   * with the others.
   * @returns the groups whose rows are to be made
   */
  update(groups: GroupMembers): Generator<undefined, GroupSeries[], undefined>;
}

/** Keeps the series of groups in step with their members. */
export function createGroupKeeper(sqlite: Sqlite, fleet: () => number): GroupKeeper {
  const tables = groupTables(sqlite);
  const deletions = createDeletions(sqlite);
  /**
   * The day after the last one that has rows: of all that comes later nothing has been merged yet, so that
   * nothing is missing in the group's rows, whatever the clock says.
   */
  const firstFreeDay = (): number => {
    const series = fleet();
    const last = tables.lastDay(keyOf(series, 0), keyOf(series + 1, 0));
    return last === undefined ? 0 : startOf(last) + ROW_MS.day;
  };
  function* drop(name: string, series: number): Generator<undefined, void, undefined> {
    // From here on nobody reads the rows.
    tables.deleteMeta(groupKey(name));
    yield* deletions.rowsOf(series);
  }
  function* dropOthers(groups: GroupMembers): Generator<undefined, void, undefined> {
    for (const [name, series] of tables.all()) {
      if (groups.has(name)) continue;
      yield* drop(name, series);
      tables.deleteSeries(series);
    }
  }
  function* keep(name: string, devices: readonly string[]): Generator<undefined, GroupSeries, undefined> {
    const series = tables.seriesOf(name);
    const known = mergedFrom(tables.meta(groupKey(name)), devices);
    if (series !== undefined && known !== undefined) return { series, fromTs: known, devices };
    if (series !== undefined) yield* drop(name, series);
    const fromTs = firstFreeDay();
    return { series: tables.begin(name, { members: hashOf(devices), fromTs }), fromTs, devices };
  }
  return {
    *update(groups) {
      yield* dropOthers(groups);
      const kept: GroupSeries[] = [];
      for (const [name, devices] of groups) {
        kept.push(yield* keep(name, devices));
        yield undefined;
      }
      return kept;
    },
  };
}

function groupTables(sqlite: Sqlite) {
  const all = sqlite.prepare<[], [string, number]>("SELECT name, id FROM series WHERE kind = 'group'").raw();
  const meta = sqlite.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck();
  const lastDay = sqlite
    .prepare<[number, number], number>(
      'SELECT key FROM rollup_day WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT 1',
    )
    .pluck();
  const seriesOf = sqlite
    .prepare<[string], number>("SELECT id FROM series WHERE kind = 'group' AND name = ?")
    .pluck();
  const deleteMeta = sqlite.prepare('DELETE FROM meta WHERE key = ?');
  const deleteSeries = sqlite.prepare('DELETE FROM series WHERE id = ?');
  const insertSeries = sqlite.prepare("INSERT OR IGNORE INTO series (kind, name) VALUES ('group', ?)");
  const insertMeta = sqlite.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)');
  return {
    all: () => new Map(all.all()),
    meta: (key: string) => meta.get(key),
    lastDay: (from: number, to: number) => lastDay.get(from, to),
    seriesOf: (name: string) => seriesOf.get(name),
    deleteMeta: (key: string) => deleteMeta.run(key),
    deleteSeries: (id: number) => deleteSeries.run(id),
    /** @returns the number of the series, which is made where there is none */
    begin: sqlite.transaction((name: string, merged: MergedGroup): number => {
      insertSeries.run(name);
      insertMeta.run(groupKey(name), JSON.stringify(merged));
      const series = seriesOf.get(name);
      invariant(series !== undefined, 'a group has a series');
      return series;
    }),
  };
}
