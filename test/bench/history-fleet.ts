import { ROW_MS, type RollUp } from '../../controller/history/read/plan.ts';
import { keyOf } from '../../controller/history/read/source.ts';
import { rowOf, type SummaryRow } from '../../controller/history/summary/rows.ts';
import {
  emptySummary,
  mergeSummary,
  type Summary,
  summaryOfWindow,
} from '../../controller/history/summary/summary.ts';
import { openHistoryDatabase } from '../../controller/history/thread/database.ts';
import { pick, type Random, seededRandom } from '../../shared/random.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { deviceName, type SimulatedLoad, simulateWindow, WINDOW_MS } from './history-windows.ts';

/** Days for which there are hours and days; of the last one there are minutes too. */
export const DAYS = 30;
const HOURS = ROW_MS.day / ROW_MS.hour;
const MINUTES = ROW_MS.hour / ROW_MS.minute;
const WINDOWS = ROW_MS.minute / WINDOW_MS;
/** The last day ends here, milliseconds since the epoch; a Monday. */
export const FLEET_END = Date.UTC(2026, 5, 1);

/** Days of a device that differ; as many hours, and so many minutes per hour. */
const SCRIPTS = 50;
const MINUTES_PER_HOUR = 4;

/** A span with its row, which is made once and written often. */
interface Span<P> {
  readonly summary: Summary;
  readonly row: SummaryRow;
  /** What it was merged from. */
  readonly parts: readonly P[];
}
type Minute = Span<never>;
type Hour = Span<Minute>;
type Day = Span<Hour>;

/**
 * Makes the roll-ups of a fleet in a new history, as the controller's own code merges and encodes them: of
 * `DAYS` days by hour and day, of the last day by minute. Windows are not kept. Every day each script of a day
 * is lived by as many devices, so that the fleet's rows need not be merged from all of them one by one.
 * @param devices a multiple of `SCRIPTS`, or fewer
 */
export function makeFleetHistory(stateDir: string, devices: number): void {
  const sqlite = openHistoryDatabase(stateDir);
  try {
    // Nobody needs the file if this process ends before it is complete.
    sqlite.pragma('journal_mode = OFF');
    sqlite.pragma('synchronous = OFF');
    const scripts = dayScripts(Math.min(devices, SCRIPTS));
    sqlite.transaction(() => fill(sqlite, scripts, devices)).exclusive();
  } finally {
    sqlite.pragma('journal_mode = WAL');
    sqlite.close();
  }
}

function dayScripts(count: number): Day[] {
  const random = seededRandom(7);
  const hours = Array.from({ length: count }, () => hourScript(random));
  return Array.from({ length: count }, () =>
    spanOf(Array.from({ length: HOURS }, () => pick(random, hours))),
  );
}

/** An hour of one device: its load does not change much, and is another one in another hour. */
function hourScript(random: Random): Hour {
  const load = 1 + random.below(100) / 100;
  // Mostly a device stays on one level.
  const levels = random.below(4) === 0 ? 2 : 1;
  const minutes = Array.from({ length: MINUTES_PER_HOUR }, () => minuteScript(random, { load, levels }));
  return spanOf(Array.from({ length: MINUTES }, () => pick(random, minutes)));
}

function minuteScript(random: Random, load: SimulatedLoad): Minute {
  const windows = Array.from({ length: WINDOWS }, () =>
    summaryOfWindow(simulateWindow(random, load).body, 0),
  );
  const summary = sumOf(windows);
  return { summary, row: rowOf(summary), parts: [] };
}

function spanOf<P extends { readonly summary: Summary }>(parts: readonly P[]): Span<P> {
  const summary = sumOf(parts.map((part) => part.summary));
  return { summary, row: rowOf(summary), parts };
}

function sumOf(parts: readonly Summary[]): Summary {
  const sum = emptySummary();
  for (const part of parts) mergeSummary(sum, part);
  return sum;
}

type Put = (table: RollUp, series: number, start: number, row: SummaryRow) => void;

function fill(sqlite: Sqlite, scripts: readonly Day[], devices: number): void {
  const insertSeries = sqlite.prepare<[string, string]>('INSERT INTO series (kind, name) VALUES (?, ?)');
  const seriesOf = (kind: string, name: string): number =>
    Number(insertSeries.run(kind, name).lastInsertRowid);
  const ids = Array.from({ length: devices }, (_, index) => seriesOf('device', deviceName(index)));
  const put = putInto(sqlite);
  for (const [index, series] of ids.entries()) {
    for (let day = 0; day < DAYS; day += 1) {
      // Every day a device lives another script.
      const script = scripts[(index + 7 * day) % scripts.length];
      if (script !== undefined) putDay(put, series, day, script);
    }
  }
  const fleet = fleetDay(scripts, devices / scripts.length);
  const series = seriesOf('fleet', '');
  for (let day = 0; day < DAYS; day += 1) putDay(put, series, day, fleet);
}

function putInto(sqlite: Sqlite): Put {
  const insert = (table: RollUp) => sqlite.prepare(`INSERT INTO rollup_${table} VALUES (?, ?, ?, ?, ?, ?)`);
  const inserts = { minute: insert('minute'), hour: insert('hour'), day: insert('day') };
  return (table, series, start, { body, latency, slowdown, queue, energy }) => {
    inserts[table].run(keyOf(series, start), body, latency, slowdown, queue, energy);
  };
}

/** Writes a day of a series, and its hours; of the last day its minutes too. */
function putDay(put: Put, series: number, day: number, script: Day): void {
  const start = FLEET_END - (DAYS - day) * ROW_MS.day;
  put('day', series, start, script.row);
  for (const [hour, { row, parts }] of script.parts.entries()) {
    const hourStart = start + hour * ROW_MS.hour;
    put('hour', series, hourStart, row);
    if (day < DAYS - 1) continue;
    for (const [minute, part] of parts.entries()) {
      put('minute', series, hourStart + minute * ROW_MS.minute, part.row);
    }
  }
}

/** What all devices did on a day on which each script was lived by so many of them. */
function fleetDay(scripts: readonly Day[], devicesEach: number): Day {
  return spanOf(
    Array.from({ length: HOURS }, (_, hour) =>
      spanOf(
        Array.from({ length: MINUTES }, (_of, minute) => {
          const each = sumOf(scripts.flatMap(({ parts }) => parts[hour]?.parts[minute]?.summary ?? []));
          const summary = sumOf(Array.from({ length: devicesEach }, () => each));
          return { summary, row: rowOf(summary), parts: [] };
        }),
      ),
    ),
  );
}
