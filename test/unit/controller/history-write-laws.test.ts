import fc from 'fast-check';
import { expect, test } from 'vitest';
import { problemsOfHistory } from '../../../controller/history/backup/integrity.ts';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import { createCommitCore } from '../../../controller/history/write/commit.ts';
import type { Packet } from '../../../controller/history/write/packet.ts';
import { rangesOf, SeqSet } from '../../../controller/history/write/seq-set.ts';
import { openSqlite, type Sqlite } from '../../../shared/sqlite.ts';
import {
  eventPacket,
  eventRecord,
  START_TS,
  windowPacket,
  wireWindow,
} from '../../support/history-records.ts';

const seqs = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 80 });

function addAll(set: SeqSet, model: Set<number>, batch: readonly number[]): void {
  for (const seq of batch) {
    expect(set.has(seq)).toBe(model.has(seq));
    if (set.has(seq)) continue;
    expect(set.standsAlone(seq)).toBe(!model.has(seq - 1) && !model.has(seq + 1));
    set.add(seq);
    model.add(seq);
  }
}

test('a set of sequence numbers holds what was added, as the fewest ranges, and tells what changed', () => {
  fc.assert(
    fc.property(fc.array(seqs, { maxLength: 6 }), (batches) => {
      const set = new SeqSet();
      const model = new Set<number>();
      const stored = new Map<number, number>();
      for (const batch of batches) {
        addAll(set, model, batch);
        for (const { from, to } of set.takeChanges()) {
          if (to === undefined) stored.delete(from);
          else stored.set(from, to);
        }
        const ranges = rangesOf(model);
        expect(set.ranges()).toEqual(ranges);
        expect([...stored].sort(([a], [b]) => a - b)).toEqual(ranges);
        expect(new SeqSet(ranges).ranges()).toEqual(ranges);
      }
    }),
  );
});

interface Given {
  readonly device: string;
  readonly bootId: string;
  readonly seq: number;
}

const record = fc.record({
  device: fc.constantFrom('a', 'b'),
  bootId: fc.constantFrom('00000001', '00000002'),
  seq: fc.integer({ min: 1, max: 12 }),
});

/** What a record is follows from its number. */
function envelopeOf({ device, bootId, seq }: Given) {
  const at = { device, bootId, seq, clock: seq % 5 === 0 ? 'unsynced' : 'synced' } as const;
  return seq % 3 === 0
    ? ({ kind: 'event', envelope: eventRecord(at) } as const)
    : ({ kind: 'window', envelope: wireWindow(at) } as const);
}

/** Windows of one device that follow each other travel together. */
function packetsOf(records: readonly Given[], isBatched: boolean): Packet[] {
  const packets: Packet[] = [];
  let gathered: ReturnType<typeof wireWindow>[] = [];
  const send = () => {
    if (gathered.length > 0) packets.push(windowPacket(...gathered));
    gathered = [];
  };
  for (const each of records) {
    const { kind, envelope } = envelopeOf(each);
    if (kind === 'event' || !isBatched || gathered[0]?.device !== envelope.device) send();
    if (kind === 'event') packets.push(eventPacket(envelope));
    else gathered.push(envelope);
  }
  send();
  return packets;
}

const CRASH: Packet = {
  device: 'a',
  kind: 'event',
  get bytes(): Uint8Array {
    throw new Error('crash');
  },
};

interface Commit {
  readonly records: readonly Given[];
  readonly isBatched: boolean;
  /** Fails when so many packets are stored. */
  readonly crashAfter: number | undefined;
  readonly restarts: boolean;
}

const commits = fc.array(
  fc.record({
    records: fc.array(record, { maxLength: 30 }),
    isBatched: fc.boolean(),
    crashAfter: fc.option(fc.nat(10), { nil: undefined, freq: 3 }),
    restarts: fc.boolean(),
  }),
  { maxLength: 8 },
);

/** All clocks are right, and every message takes as long: what came when makes no difference. */
const receivedTs = START_TS;

function play(sqlite: Sqlite, played: readonly Commit[]): void {
  let core = createCommitCore(sqlite);
  for (const { records, isBatched, crashAfter, restarts } of played) {
    if (restarts) core = createCommitCore(sqlite);
    const packets = packetsOf(records, isBatched);
    if (crashAfter !== undefined) {
      const failing = [...packets.slice(0, crashAfter), CRASH];
      expect(() => core.commit(failing, receivedTs)).toThrow('crash');
    }
    const result = core.commit(packets, receivedTs);
    expect(result.windows + result.events + result.duplicates).toBe(records.length);
  }
}

/** What is in a history, whatever the numbers of its rows are. */
function contentOf(sqlite: Sqlite) {
  const of = (sql: string) => sqlite.prepare(sql).raw().all();
  const boot = 'JOIN boots ON boots.id = boot JOIN series ON series.id = boots.device';
  return {
    windows: of(
      `SELECT name, boot_id, seq, at, flags, body FROM windows ${boot} ORDER BY name, boot_id, seq`,
    ),
    events: of(`SELECT name, boot_id, seq, ts, flags, body FROM events ${boot} ORDER BY name, boot_id, seq`),
    seen: of(`SELECT name, boot_id, from_seq, to_seq FROM seen ${boot} ORDER BY name, boot_id, from_seq`),
    counts: of('SELECT * FROM counts'),
  };
}

function inMemory(): Sqlite {
  return openSqlite(':memory:', { migrations: MIGRATIONS });
}

test('any order, repetition, batching, failure and restart leads to the same history', () => {
  fc.assert(
    fc.property(commits, (played) => {
      const one = inMemory();
      const other = inMemory();
      play(one, played);
      // In order, each record once, all at once.
      const keys = new Map(
        played.flatMap(({ records }) => records).map((each) => [JSON.stringify(each), each]),
      );
      const sorted = [...keys.values()].sort((a, b) => a.seq - b.seq);
      createCommitCore(other).commit(packetsOf(sorted, false), receivedTs);
      expect(withoutRedated(contentOf(one))).toEqual(withoutRedated(contentOf(other)));
      expect(problemsOfHistory(one, false)).toEqual([]);
      one.close();
      other.close();
    }),
    { numRuns: 60 },
  );
});

/** Where the controller dates, it does so by the quickest message so far: that depends on the order. */
function withoutRedated({ windows, events, ...rest }: ReturnType<typeof contentOf>) {
  const isStable = (row: unknown): boolean => Array.isArray(row) && (Number(row[4]) & 1) === 0;
  return {
    ...rest,
    windows: windows.filter(isStable),
    events: events.filter(isStable),
    rows: [windows.length, events.length],
  };
}

test('the committed numbers are exactly those of the stored rows, at every moment', () => {
  fc.assert(
    fc.property(commits, (played) => {
      const sqlite = inMemory();
      for (const commit of played) {
        play(sqlite, [commit]);
        const stored = sqlite
          .prepare('SELECT boot, seq FROM windows UNION ALL SELECT boot, seq FROM events ORDER BY boot, seq')
          .raw()
          .all();
        const ranges = sqlite.prepare<[], number[]>('SELECT * FROM seen ORDER BY boot, from_seq').raw().all();
        const committed = ranges.flatMap(([boot = 0, from = 0, to = -1]) =>
          Array.from({ length: to - from + 1 }, (_, index) => [boot, from + index]),
        );
        expect(stored).toEqual(committed);
      }
      sqlite.close();
    }),
    { numRuns: 40 },
  );
});
