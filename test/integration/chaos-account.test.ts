import { describe, expect, test } from 'vitest';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { openOutbox, type StoredRecord } from '../../agent/telemetry/outbox.ts';
import { createRollUpCore } from '../../controller/history/rollup/roll-up.ts';
import { openHistoryDatabase } from '../../controller/history/thread/database.ts';
import { createCommitCore } from '../../controller/history/write/commit.ts';
import type { Packet } from '../../controller/history/write/packet.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { account } from '../chaos/account.ts';
import { BOOT, faultOf, START_TS, stampAt } from '../support/agent.ts';
import { bodyOf } from '../support/history-records.ts';
import { temporaryFolder } from '../support/temp.ts';

const DEVICE = 'one';
const WINDOWS = 20;

interface World {
  /** Records in the order in which they were made: windows, and an event at last. */
  readonly records: readonly StoredRecord[];
  readonly store: (records: readonly StoredRecord[]) => void;
  readonly history: Sqlite;
  readonly settle: () => ReturnType<typeof account>;
}

/** An agent that has recorded, and a history that has nothing yet. */
async function withWorld(work: (world: World) => void): Promise<void> {
  await using folder = await temporaryFolder();
  const agent = openAgentDatabase(folder.path);
  const options = { bootId: BOOT, startedTs: START_TS, maxBytes: 1e6, maxAgeMs: 1e12 };
  const outbox = openOutbox({ database: agent, ...options });
  for (let at = 0; at < WINDOWS; at += 1)
    outbox.append({ kind: 'window', body: bodyOf() }, stampAt(at * 100));
  outbox.append(faultOf('the last'), stampAt(WINDOWS * 100));
  const records = outbox.after(0, WINDOWS + 1);
  outbox.acknowledge(BOOT, [[1, WINDOWS + 1]]);
  outbox.settle();
  agent.close();
  const history = openHistoryDatabase(folder.path);
  const core = createCommitCore(history);
  try {
    const store: World['store'] = (some) => void core.commit(some.map(packetOf), START_TS + 10_000);
    const settle = () => account(folder.path, [{ device: DEVICE, dir: folder.path }]);
    work({ records, store, history, settle });
  } finally {
    history.close();
  }
}

function packetOf({ kind, body, bootId, seq, ts, monoMs, clock }: StoredRecord): Packet {
  const envelope = { v: 1, device: DEVICE, bootId, seq, ts, monoMs, clock, body: JSON.parse(body) };
  const bytes = Buffer.from(JSON.stringify(envelope));
  return { device: DEVICE, kind: kind === 'event' ? 'event' : 'telemetry', bytes };
}

function rollUp(history: Sqlite): void {
  for (const _ of createRollUpCore(history).rollUp(new Map()));
}

describe('the account of a fleet', () => {
  test('holds when every record is in the history once', async () => {
    await withWorld(({ records, store, history, settle }) => {
      store(records.slice(0, 10));
      rollUp(history);
      store(records);
      expect(settle()).toMatchObject({
        recordedWindows: WINDOWS,
        storedWindows: WINDOWS,
        storedEvents: 1,
        rolledUpWindows: 10,
        lost: 0,
        problems: [],
      });
    });
  });

  test('tells of a record amid the others that is lost without a word', async () => {
    await withWorld(({ records, store, settle }) => {
      store(records.filter(({ seq }) => seq !== 7));
      expect(settle().problems).toEqual([
        expect.stringContaining('lost and not counted: 7'),
        '1 records are lost, only 0 counted',
      ]);
    });
  });

  test('tells when the last record is lost without a word', async () => {
    await withWorld(({ records, store, settle }) => {
      store(records.slice(0, -1));
      expect(settle().problems).toContainEqual(
        expect.stringContaining(`lost and not counted: ${WINDOWS + 1}`),
      );
    });
  });

  test('holds when a gap event counts what is lost', async () => {
    await withWorld(({ records, store, settle }) => {
      const gap = { kind: 'gap', bootId: BOOT, from: 5, to: 7, records: 3, reason: 'full' };
      const kept = records.filter(({ seq }) => seq < 5 || seq > 7);
      store(
        kept.map((record) => (record.kind === 'event' ? { ...record, body: JSON.stringify(gap) } : record)),
      );
      expect(settle()).toMatchObject({ lost: 3, countedLost: 3, problems: [] });
    });
  });

  test('tells of a record that is stored twice', async () => {
    await withWorld(({ records, store, history, settle }) => {
      store(records);
      history.exec(
        'INSERT INTO windows SELECT id + 1000, boot, seq, device, at, flags, body FROM windows LIMIT 1',
      );
      expect(settle().problems).toContain('1 records are stored more than once');
    });
  });

  test('tells of a roll-up that lacks a window, or has one twice', async () => {
    await withWorld(({ records, store, history, settle }) => {
      store(records);
      rollUp(history);
      const before = settle().problems;
      history.exec("UPDATE meta SET value = value - 1 WHERE key = 'rolledUp'");
      expect(before).toEqual([]);
      expect(settle().problems).toContainEqual(
        expect.stringMatching(/^rollup_hour, series \d+: 20 windows of 19$/),
      );
    });
  });
});
