import type { Sqlite } from '../../../shared/sqlite.ts';
import { SeqSet } from './seq-set.ts';
import { createDeviceSeries } from './series.ts';

/** Boots whose numbers are held in memory, at most, */
const MAX_BOOTS = 4_096;
/** and the ranges of all of them together: a few bytes each. */
const MAX_HELD_RANGES = 200_000;

/** One start of an agent, as it is known to the history. */
export interface Boot {
  readonly id: number;
  /** Number of the device's series. */
  readonly device: number;
  readonly seen: SeqSet;
  /** Least difference of the controller's clock and the boot's monotonic clock so far, milliseconds. */
  offsetMs: number;
  /** Of its oldest record, milliseconds since the epoch. */
  firstTs: number;
  /** The boot before it, and the last number that this one gave. */
  previous: { readonly bootId: string; readonly lastSeq: number } | undefined;
  /** Whether something other than `seen` has to be written. */
  isChanged: boolean;
}

export interface Boots {
  /** The boot, from memory or from the database; a new one is made. Within a transaction only. */
  of(device: string, bootId: string): Boot;
  /** Number of the device's series. */
  seriesOf(device: string): number;
  /** Writes what changed since the last time. Before the transaction's end. */
  flush(): void;
  /** After a transaction that failed: what was remembered of it is not so. */
  forget(): void;
}

interface BootRow {
  readonly id: number;
  readonly offsetMs: number | null;
  readonly firstTs: number | null;
  readonly previousBoot: string | null;
  readonly previousLastSeq: number | null;
}

/** What is known of boots, the most recent ones held in memory: their numbers decide what is a repeat. */
export function createBoots(sqlite: Sqlite): Boots {
  const tables = bootTables(sqlite);
  const series = createDeviceSeries(sqlite);
  /** The least recently used comes first. */
  const held = new Map<string, Boot>();
  const touched = new Map<string, Boot>();

  const trim = (): void => {
    let ranges = 0;
    for (const { seen } of held.values()) ranges += seen.size;
    for (const [key, boot] of held) {
      if (held.size <= MAX_BOOTS && ranges <= MAX_HELD_RANGES) return;
      held.delete(key);
      ranges -= boot.seen.size;
    }
  };
  const flush = (): void => {
    for (const boot of touched.values()) tables.save(boot);
    touched.clear();
    trim();
  };
  return {
    of: (device, bootId) => {
      const key = `${device} ${bootId}`;
      const recent = touched.get(key);
      if (recent !== undefined) return recent;
      // One transaction may hold more boots than memory should.
      if (touched.size >= MAX_BOOTS) flush();
      const boot = held.get(key) ?? tables.load(series.idOf(device), bootId);
      held.delete(key);
      held.set(key, boot);
      touched.set(key, boot);
      return boot;
    },
    seriesOf: series.idOf,
    flush,
    forget: () => {
      series.forget();
      held.clear();
      touched.clear();
    },
  };
}

interface BootTables {
  load(device: number, bootId: string): Boot;
  save(boot: Boot): void;
}

function bootTables(sqlite: Sqlite): BootTables {
  const select = sqlite.prepare<[number, string], BootRow>(
    `SELECT id, offset_ms AS offsetMs, first_ts AS firstTs, previous_boot AS previousBoot,
       previous_last_seq AS previousLastSeq
     FROM boots WHERE device = ? AND boot_id = ?`,
  );
  const insert = sqlite.prepare<[number, string]>('INSERT INTO boots (device, boot_id) VALUES (?, ?)');
  const update = sqlite.prepare(
    `UPDATE boots SET offset_ms = ?, first_ts = ?, previous_boot = ?, previous_last_seq = ? WHERE id = ?`,
  );
  const ranges = sqlite.prepare<[number], [number, number]>(
    'SELECT from_seq, to_seq FROM seen WHERE boot = ? ORDER BY from_seq',
  );
  ranges.raw();
  const put = sqlite.prepare('INSERT OR REPLACE INTO seen VALUES (?, ?, ?)');
  const remove = sqlite.prepare('DELETE FROM seen WHERE boot = ? AND from_seq = ?');
  return {
    load: (device, bootId) => {
      const row = select.get(device, bootId);
      if (row === undefined) return newBoot(Number(insert.run(device, bootId).lastInsertRowid), device);
      return bootOf(row, device, new SeqSet(ranges.iterate(row.id)));
    },
    save: (boot) => {
      const { id, seen, offsetMs, firstTs, previous } = boot;
      for (const { from, to } of seen.takeChanges()) {
        if (to === undefined) remove.run(id, from);
        else put.run(id, from, to);
      }
      if (!boot.isChanged) return;
      const times = [finiteOrNull(offsetMs), finiteOrNull(firstTs)];
      update.run(...times, previous?.bootId ?? null, previous?.lastSeq ?? null, id);
      boot.isChanged = false;
    },
  };
}

function newBoot(id: number, device: number): Boot {
  const unknown = { offsetMs: Number.POSITIVE_INFINITY, firstTs: Number.POSITIVE_INFINITY };
  return { id, device, seen: new SeqSet(), ...unknown, previous: undefined, isChanged: false };
}

function bootOf(row: BootRow, device: number, seen: SeqSet): Boot {
  const { id, previousBoot, previousLastSeq } = row;
  const previous =
    previousBoot === null || previousLastSeq === null
      ? undefined
      : { bootId: previousBoot, lastSeq: previousLastSeq };
  return {
    id,
    device,
    seen,
    offsetMs: row.offsetMs ?? Number.POSITIVE_INFINITY,
    firstTs: row.firstTs ?? Number.POSITIVE_INFINITY,
    previous,
    isChanged: false,
  };
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
