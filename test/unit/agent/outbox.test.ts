import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { totalsOf } from '../../../agent/telemetry/outbox.ts';
import type { EventBody, SeqRange } from '../../../shared/protocol/event.ts';
import { BOOT, faultOf, outboxOf, START_TS, stampAt, stateFolder } from '../../support/agent.ts';

const OTHER_BOOT = '0000aaaa-0002';

type Gap = Extract<EventBody, { kind: 'gap' }>;

const everything = (outbox: ReturnType<typeof outboxOf>) => outbox.after(0, 100_000);

function gapsIn(outbox: ReturnType<typeof outboxOf>): Gap[] {
  return everything(outbox)
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
    expect(outbox.newestId()).toBe(0);
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
      const left = everything(own).filter((row) => row.bootId === bootId);
      expect(left.map(({ seq }) => seq)).toEqual(seqs.filter((seq) => !inRanges(seq)));
      expect(own.totals().pending).toBe(everything(own).length);
    }),
  );
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
