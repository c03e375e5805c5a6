import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { totalsOf } from '../../../agent/telemetry/outbox.ts';
import type { EventBody, SeqRange } from '../../../shared/protocol/event.ts';
import { checkSketches, fromWire, WireWindowSchema } from '../../../shared/protocol/window-wire.ts';
import { parseJson, parserOf } from '../../../shared/schema.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import { BOOT, faultOf, outboxOf, START_TS, stampAt, stateFolder } from '../../support/agent.ts';

const OTHER_BOOT = '0000aaaa-0002';

type Gap = Extract<EventBody, { kind: 'gap' }>;

const everything = (outbox: ReturnType<typeof outboxOf>) => outbox.after(0, 100_000);

function gapsIn(outbox: ReturnType<typeof outboxOf>): Gap[] {
  return everything(outbox)
    .filter(({ kind }) => kind === 'event')
    .map(({ body }): EventBody => JSON.parse(body))
    .filter((body) => body.kind === 'gap');
}

describe('the numbers of records', () => {
  test('go up by one, windows and events alike, and begin anew with a boot that names the one before', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const first = outboxOf(database);
    expect(first.previous).toBeUndefined();
    expect([1, 2, 3].map((ms) => first.append(faultOf('x'), stampAt(ms)))).toEqual([1, 2, 3]);
    database.close();
    const second = outboxOf(folder.open(), { bootId: OTHER_BOOT });
    expect(second.previous).toEqual({ bootId: BOOT, lastSeq: 3 });
    expect(second.append(faultOf('y'), stampAt(4))).toBe(1);
    expect(everything(second).map(({ bootId, seq }) => [bootId, seq])).toEqual([
      [BOOT, 1],
      [BOOT, 2],
      [BOOT, 3],
      [OTHER_BOOT, 1],
    ]);
    expect(second.totals()).toEqual({ windows: 0, events: 4, dropped: 0, pending: 4 });
    expect([BOOT, OTHER_BOOT, '0000aaaa-0003'].map(second.knowsBoot)).toEqual([true, true, false]);
  });

  test('are not given again after everything was acknowledged', async () => {
    await using folder = await stateFolder();
    const outbox = outboxOf(folder.open());
    outbox.append(faultOf('x'), stampAt(1));
    expect(outbox.acknowledge(BOOT, [[0, Number.MAX_SAFE_INTEGER]])).toBe(1);
    expect(everything(outbox)).toEqual([]);
    expect(outbox.append(faultOf('x'), stampAt(2))).toBe(2);
  });
});

test('an acknowledgement deletes exactly its ranges', async () => {
  await using folder = await stateFolder();
  const database = folder.open();
  const outbox = outboxOf(database);
  let boots = 0;
  const range = fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 30 }));
  fc.assert(
    fc.property(fc.nat({ max: 25 }), fc.array(range, { maxLength: 5 }), (count, ranges) => {
      boots += 1;
      const bootId = `00000000-${String(boots).padStart(4, '0')}`;
      const own = outboxOf(database, { bootId });
      const seqs = Array.from({ length: count }, (_, index) => own.append(faultOf('x'), stampAt(index)));
      const inRanges = (seq: number): boolean => ranges.some(([from, to]) => from <= seq && seq <= to);
      expect(outbox.acknowledge('00000000-none', ranges)).toBe(0);
      expect(own.acknowledge(bootId, ranges)).toBe(seqs.filter(inRanges).length);
      expect(own.acknowledge(bootId, ranges)).toBe(0);
      const left = () => everything(own).filter((row) => row.bootId === bootId);
      expect(left().map(({ seq }) => seq)).toEqual(seqs.filter((seq) => !inRanges(seq)));
      expect(own.totals().pending).toBe(everything(own).length);
      own.settle();
      expect(left().map(({ seq }) => seq)).toEqual(seqs.filter((seq) => !inRanges(seq)));
      expect(totalsOf(database).pending).toBe(everything(own).length);
    }),
  );
});

describe('what was acknowledged', () => {
  test('leaves the disk with the next append, so that a window is one transaction', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const outbox = outboxOf(database);
    outbox.append(faultOf('x'), stampAt(1));
    outbox.acknowledge(BOOT, [[1, 1]]);
    expect(outbox.totals().pending).toBe(0);
    expect(totalsOf(database).pending).toBe(1);
    outbox.append(faultOf('y'), stampAt(2));
    expect(totalsOf(database).pending).toBe(1);
    expect(everything(outbox).map(({ seq }) => seq)).toEqual([2]);
  });

  test('at once when it is many, and on the word that the agent stops', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const outbox = outboxOf(database);
    for (let ms = 0; ms < 50; ms += 1) outbox.append(faultOf('x'), stampAt(ms));
    outbox.acknowledge(BOOT, [[1, 40]]);
    expect(totalsOf(database).pending).toBe(10);
    outbox.acknowledge(BOOT, [[41, 45]]);
    expect([totalsOf(database).pending, everything(outbox).length]).toEqual([10, 5]);
    expect(outbox.after(0, 2).map(({ seq }) => seq)).toEqual([46, 47]);
    outbox.settle();
    expect(totalsOf(database).pending).toBe(5);
  });

  test('is sent again after a crash that came before, and never has a gap', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const outbox = outboxOf(database);
    outbox.append(faultOf('x'), stampAt(1));
    outbox.acknowledge(BOOT, [[1, 1]]);
    database.close();
    const next = outboxOf(folder.open(), { bootId: OTHER_BOOT });
    expect(everything(next).map(({ bootId, seq }) => [bootId, seq])).toEqual([[BOOT, 1]]);
    expect(next.totals()).toMatchObject({ pending: 1, dropped: 0 });
  });
});

describe('what waits', () => {
  test('is as old as its oldest record, by the clock that can tell', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const first = outboxOf(database);
    expect(first.waiting(stampAt(5))).toEqual({ records: 0, ageMs: undefined });
    first.append(faultOf('x'), { ts: 7, monoMs: 7, clock: 'unsynced' });
    first.append(faultOf('x'), stampAt(20));
    expect(first.waiting(stampAt(100))).toEqual({ records: 2, ageMs: 93 });
    const second = outboxOf(database, { bootId: OTHER_BOOT });
    expect(second.waiting(stampAt(100))).toEqual({ records: 2, ageMs: undefined });
    second.acknowledge(BOOT, [[1, 1]]);
    expect(second.waiting(stampAt(100))).toEqual({ records: 1, ageMs: 80 });
    expect(second.waiting({ ts: 3, monoMs: 3, clock: 'unsynced' })).toEqual({ records: 1, ageMs: undefined });
  });
});

describe('boots', () => {
  test('are forgotten, but for the newest and those of which something waits; their counts stay', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const idOf = (boot: number): string => `00000000-${String(boot).padStart(4, '0')}`;
    for (let boot = 0; boot < 80; boot += 1) {
      const outbox = outboxOf(database, { bootId: idOf(boot) });
      outbox.append(faultOf('x'), stampAt(1));
      if (boot !== 3) outbox.acknowledge(idOf(boot), [[1, 1]]);
      outbox.settle();
    }
    const last = outboxOf(database);
    expect(last.totals()).toMatchObject({ events: 80, pending: 1 });
    expect([2, 3, 4, 16, 17, 79].map((boot) => last.knowsBoot(idOf(boot)))).toEqual([
      false,
      true,
      false,
      false,
      true,
      true,
    ]);
    expect(last.previous).toEqual({ bootId: idOf(79), lastSeq: 1 });
  });
});

describe('windows', () => {
  const LONG = {
    durationMs: 10_000,
    family: 'a'.repeat(64),
    points: [
      {
        ...{ pe: 'cpu', level: 2, inferences: 2, misses: 1, labelled: 2, correct: 1 },
        ...{ latencySumMs: 30, latencyMinMs: 10, latencyMaxMs: 20, latencySketch: 'AQDmAQFGAQ==' },
      },
    ],
    ...{ switches: 1, skipped: 2, unreadable: 0, failed: 0, sheds: 0, slowdown: 1.5, price: 0 },
    requirement: { latencyMs: 50 },
  };
  /** Puts a window into the outbox as the version before did. */
  const putLong = (database: Sqlite, seq: number, body: string): void => {
    database
      .prepare(
        'INSERT INTO records (boot_id, seq, kind, ts, mono_ms, clock, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(BOOT, seq, 'window', START_TS + seq, seq, 'synced', body);
  };

  test('are kept as they go over the wire', async () => {
    await using folder = await stateFolder();
    const outbox = outboxOf(folder.open());
    const { points: _, ...rest } = LONG;
    outbox.append({ kind: 'window', body: { ...rest, points: [] } }, stampAt(1));
    const [row] = everything(outbox);
    expect(row?.kind).toBe('window');
    expect(fromWire(parseJson(row?.body ?? '', parserOf(WireWindowSchema), 'window'))).toEqual({
      ...rest,
      points: [],
    });
  });

  test('that the version before has left are sent in the form of today', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    putLong(database, 1, JSON.stringify(LONG));
    const outbox = outboxOf(database, { bootId: OTHER_BOOT });
    const [row] = everything(outbox);
    const wire = parseJson(row?.body ?? '', parserOf(WireWindowSchema), 'window');
    expect(checkSketches(wire)).toBeUndefined();
    expect(fromWire(wire)).toMatchObject({
      switches: 1,
      points: [{ level: 2, inferences: 2, latencyMs: { count: 2, sum: 30, min: 10, max: 20 } }],
    });
    expect(outbox.acknowledge(BOOT, [[1, 1]])).toBe(1);
  });

  test('of it that cannot be read are dropped with the next record, as a gap', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    for (const seq of [1, 2]) putLong(database, seq, '{"points":7}');
    putLong(database, 3, JSON.stringify(LONG));
    const outbox = outboxOf(database, { bootId: OTHER_BOOT });
    expect(outbox.after(0, 1).map(({ seq }) => seq)).toEqual([]);
    expect(everything(outbox).map(({ seq }) => seq)).toEqual([3]);
    outbox.append(faultOf('x'), stampAt(9));
    expect(gapsIn(outbox)).toMatchObject([
      { bootId: BOOT, from: 1, to: 2, records: 2, reason: expect.stringContaining('earlier version') },
    ]);
    expect(outbox.totals()).toMatchObject({ dropped: 2, pending: 3 });
  });
});

describe('an outbox that is full', () => {
  test('drops the oldest, and its gap events account for every record that is gone', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    let boots = 0;
    const step = fc.oneof(
      { weight: 20, arbitrary: fc.record({ append: fc.nat({ max: 900 }) }) },
      {
        weight: 2,
        arbitrary: fc.record({ acknowledge: fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 20 })) }),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 100, maxLength: 400 }), (steps) => {
        boots += 1;
        const bootId = `00000000-${String(boots).padStart(4, '0')}`;
        database.exec('DELETE FROM records');
        const outbox = outboxOf(database, { bootId, maxBytes: 20_000 });
        const acknowledged: SeqRange[] = [];
        for (const each of steps) {
          if ('append' in each) outbox.append(faultOf('é'.repeat(each.append)), stampAt(1));
          else {
            const [from, length] = each.acknowledge;
            // A controller acknowledges what it got: never a gap event that tells of others.
            const waiting = everything(outbox).filter(
              ({ seq, body }) => seq >= from && seq <= from + length && !body.includes('"gap"'),
            );
            const ranges = waiting.map(({ seq }): SeqRange => [seq, seq]);
            outbox.acknowledge(bootId, ranges);
            acknowledged.push(...ranges);
          }
        }
        const rows = everything(outbox);
        const here = new Set(rows.map(({ seq }) => seq));
        const got = new Set(acknowledged.map(([seq]) => seq));
        const gaps = gapsIn(outbox);
        const newest = rows.at(-1)?.seq ?? 0;
        const gone = Array.from({ length: newest }, (_, index) => index + 1).filter(
          (seq) => !here.has(seq) && !got.has(seq),
        );
        expect(gone.filter((seq) => !gaps.some(({ from, to }) => from <= seq && seq <= to))).toEqual([]);
        expect(gaps.reduce((sum, { records }) => sum + records, 0)).toBe(gone.length);
        const bytes = rows.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
        expect(bytes).toBeLessThan(20_000 + 4_000);
        expect(outbox.totals().pending).toBe(rows.length);
      }),
      { numRuns: 20 },
    );
  });

  test('counts what it dropped over restarts', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    const outbox = outboxOf(database, { maxBytes: 1_000 });
    for (let ms = 0; ms < 30; ms += 1) outbox.append(faultOf('x'.repeat(200)), stampAt(ms));
    const { dropped } = outbox.totals();
    expect(dropped).toBeGreaterThan(15);
    expect(gapsIn(outbox)[0]).toMatchObject({
      bootId: BOOT,
      from: 1,
      reason: 'the outbox was full or too old',
    });
    database.close();
    expect(totalsOf(folder.open()).dropped).toBe(dropped);
  });
});

describe('age', () => {
  test('drops what is too old', async () => {
    await using folder = await stateFolder();
    const outbox = outboxOf(folder.open(), { maxAgeMs: 1_000 });
    for (const ms of [0, 500, 1_200]) outbox.append(faultOf('x'), stampAt(ms));
    expect(gapsIn(outbox)).toMatchObject([{ from: 1, to: 1, records: 1 }]);
    outbox.append(faultOf('x'), stampAt(1_500));
    expect(gapsIn(outbox)).toHaveLength(1);
  });

  test('drops a tenth of its length at once, so that few gap events tell of it', async () => {
    await using folder = await stateFolder();
    const outbox = outboxOf(folder.open(), { maxAgeMs: 1_000 });
    for (let ms = 0; ms < 3_000; ms += 10) outbox.append(faultOf('x'), stampAt(ms));
    const { dropped, pending } = outbox.totals();
    expect(pending).toBeLessThan(125);
    expect(dropped).toBeGreaterThan(180);
    expect(gapsIn(outbox).length).toBeLessThan(25);
  });

  test('of a record without a trusted clock is not known, so it stays', async () => {
    await using folder = await stateFolder();
    const outbox = outboxOf(folder.open(), { maxAgeMs: 1_000 });
    outbox.append(faultOf('x'), { ts: 5, monoMs: 5, clock: 'unsynced' });
    outbox.append(faultOf('x'), stampAt(0));
    expect(outbox.totals()).toMatchObject({ pending: 2, dropped: 0 });
  });

  test('is set anew for the unsynced records of this boot when time arrives', async () => {
    await using folder = await stateFolder();
    const database = folder.open();
    outboxOf(database).append(faultOf('older boot'), { ts: 5, monoMs: 5, clock: 'unsynced' });
    const outbox = outboxOf(database, { bootId: OTHER_BOOT });
    outbox.append(faultOf('a'), { ts: 7, monoMs: 7, clock: 'unsynced' });
    outbox.append(faultOf('b'), stampAt(9));
    expect(outbox.redate(START_TS)).toBe(1);
    expect(everything(outbox).map(({ ts, clock }) => [ts, clock])).toEqual([
      [5, 'unsynced'],
      [START_TS + 7, 'synced'],
      [START_TS + 9, 'synced'],
    ]);
  });
});

test('on a full disk a record is refused, its number is spent, and a gap is told once there is room', async () => {
  await using folder = await stateFolder();
  const database = folder.open();
  const outbox = outboxOf(database);
  outbox.append(faultOf('x'), stampAt(1));
  database.pragma(`max_page_count = ${database.pragma('page_count', { simple: true })}`);
  const big = faultOf('x'.repeat(100_000));
  for (const ms of [2, 3]) expect(() => outbox.append(big, stampAt(ms))).toThrow(/full/);
  expect(outbox.totals()).toMatchObject({ pending: 1 });
  database.pragma('max_page_count = 100000');
  expect(outbox.append(big, stampAt(4))).toBe(5);
  expect(gapsIn(outbox)).toEqual([
    { kind: 'gap', bootId: BOOT, from: 2, to: 3, records: 2, reason: 'the outbox could not be written' },
  ]);
  expect(outbox.append(big, stampAt(5))).toBe(6);
  expect(gapsIn(outbox)).toHaveLength(1);
});
