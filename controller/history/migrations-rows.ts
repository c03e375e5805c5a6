import { type EventBody, EventSchema } from '../../shared/protocol/event.ts';
import { RequirementSchema } from '../../shared/protocol/requirement.ts';
import type { PointWindow, ProcessingElement, WindowBody } from '../../shared/protocol/window.ts';
import { toWire } from '../../shared/protocol/window-wire.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import { Sketch } from '../../shared/sketch.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { type Boot, type Boots, createBoots } from './write/boots.ts';
import { createInserts, type Inserts } from './write/inserts.ts';

/** Rows that one transaction moves over: a crash repeats at most these. */
const CHUNK_ROWS = 500;
/** Stood where a boot id would: alarms were the controller's own. */
const OWN_BOOT = 'controller';

interface OldRow {
  readonly id: number;
  readonly device: string;
  readonly bootId: string;
  readonly seq: number;
  readonly ts: number;
}

interface OldWindow extends OldRow {
  readonly durationMs: number;
  readonly family: string;
  readonly switches: number;
  readonly skipped: number;
  readonly unreadable: number;
  readonly failed: number;
  readonly sheds: number;
  readonly slowdown: number;
  readonly price: number | null;
  readonly requirement: string;
}

interface OldPoint {
  readonly pe: ProcessingElement;
  readonly level: number;
  readonly inferences: number;
  readonly misses: number;
  readonly labelled: number;
  readonly correct: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly sketch: Uint8Array;
}

interface OldEvent extends OldRow {
  readonly kind: string;
  readonly body: string;
}

const KEY = 'id, device, boot_id AS bootId, seq, ts';
const WINDOW_COLUMNS = `${KEY}, duration_ms AS durationMs, family, switches, skipped, unreadable, failed, sheds,
  slowdown, price, requirement`;
const POINT_COLUMNS = `pe, level, inferences, misses, labelled, correct, latency_sum_ms AS sum,
  latency_min_ms AS min, latency_max_ms AS max, latency_sketch AS sketch`;

const parseRequirement = parserOf(RequirementSchema);
const parseEvent = parserOf(EventSchema);

/**
 * Moves the rows that a version before left in `old_*` tables into the tables of this version, a chunk per
 * transaction: a crash in the middle loses and doubles nothing, and the next start goes on. Step by step: yields
 * how many rows it moved, and leaves no transaction open.
 */
export function* convertOldRows(sqlite: Sqlite): Generator<number, void> {
  const isOld = sqlite.prepare("SELECT 1 FROM sqlite_master WHERE name = 'old_windows'").get() !== undefined;
  if (!isOld) return;
  const target = { boots: createBoots(sqlite), inserts: createInserts(sqlite) };
  yield* move(sqlite, windowMover(sqlite, target));
  yield* move(sqlite, eventMover(sqlite, target));
  sqlite.transaction(() => {
    sqlite.exec('DROP TABLE old_window_points; DROP TABLE old_windows; DROP TABLE old_events');
  })();
}

interface Target {
  readonly boots: Boots;
  readonly inserts: Inserts;
}

function* move(sqlite: Sqlite, moveChunk: () => number): Generator<number, void> {
  const inTransaction = sqlite.transaction(moveChunk);
  for (;;) {
    const rows = inTransaction.immediate();
    if (rows === 0) return;
    yield rows;
  }
}

function windowMover(sqlite: Sqlite, { boots, inserts }: Target): () => number {
  const rows = sqlite.prepare<[], OldWindow>(
    `SELECT ${WINDOW_COLUMNS} FROM old_windows ORDER BY id LIMIT ${CHUNK_ROWS}`,
  );
  const points = sqlite.prepare<[number], OldPoint>(
    `SELECT ${POINT_COLUMNS} FROM old_window_points WHERE window = ? ORDER BY position`,
  );
  const remove = sqlite.prepare('DELETE FROM old_windows WHERE id = ?');
  return () => {
    const chunk = rows.all();
    for (const row of chunk) {
      const boot = bootOf(boots, row);
      const at = Math.max(0, Math.round(row.ts - row.durationMs / 2));
      const body = JSON.stringify(toWire(bodyOf(row, points.all(row.id))));
      inserts.window({ boot: boot.id, seq: row.seq, device: boot.device, at, flags: 0, body });
      remove.run(row.id);
    }
    boots.flush();
    inserts.count({ windows: chunk.length, events: 0 });
    return chunk.length;
  };
}

function eventMover(sqlite: Sqlite, { boots, inserts }: Target): () => number {
  const rows = sqlite.prepare<[], OldEvent>(
    `SELECT ${KEY}, kind, body FROM old_events ORDER BY id LIMIT ${CHUNK_ROWS}`,
  );
  const remove = sqlite.prepare('DELETE FROM old_events WHERE id = ?');
  return () => {
    const chunk = rows.all();
    for (const row of chunk) {
      const { seq, ts, kind, body } = row;
      if (row.bootId === OWN_BOOT) {
        inserts.alarm(boots.seriesOf(row.device), ts, body);
      } else {
        const boot = bootOf(boots, row);
        if (kind === 'boot') notePrevious(boot, parseJson(body, parseEvent, 'stored event'));
        inserts.event({ boot: boot.id, seq, device: boot.device, ts, flags: 0, kind, body });
      }
      remove.run(row.id);
    }
    boots.flush();
    inserts.count({ windows: 0, events: chunk.length });
    return chunk.length;
  };
}

/** The row's boot, with the row's number in it. Stored rows stay, however many holes there are. */
function bootOf(boots: Boots, { device, bootId, seq, ts }: OldRow): Boot {
  const boot = boots.of(device, bootId);
  // A window and an event of one number were two rows of two tables.
  if (!boot.seen.has(seq)) boot.seen.add(seq);
  if (ts < boot.firstTs) {
    boot.firstTs = ts;
    boot.isChanged = true;
  }
  return boot;
}

function notePrevious(boot: Boot, body: EventBody): void {
  if (body.kind !== 'boot' || body.previous === undefined) return;
  boot.previous = body.previous;
  boot.isChanged = true;
}

function bodyOf(row: OldWindow, points: readonly OldPoint[]): WindowBody {
  const { durationMs, family, switches, skipped, unreadable, failed, sheds, slowdown, price } = row;
  return {
    durationMs,
    family,
    points: points.map(pointOf),
    switches,
    skipped,
    unreadable,
    failed,
    sheds,
    slowdown,
    ...(price === null ? {} : { price }),
    requirement: parseJson(row.requirement, parseRequirement, 'stored requirement'),
  };
}

function pointOf({ sum, min, max, sketch: bytes, ...counts }: OldPoint): PointWindow {
  return { ...counts, latencyMs: { ...sketchOf(bytes), sum, min, max } };
}

/** A sketch that is broken after all must not keep the controller from starting: its window stays without one. */
function sketchOf(bytes: Uint8Array): { readonly count: number; readonly sketch: string } {
  const sketch = Buffer.from(bytes).toString('base64');
  try {
    return { count: Sketch.check(sketch), sketch };
  } catch {
    return { count: 0, sketch: new Sketch().encode() };
  }
}
