import { afterEach, beforeEach, expect, test } from 'vitest';
import { problemsOfHistory } from '../../../controller/history/backup/integrity.ts';
import { MIGRATIONS } from '../../../controller/history/migrations.ts';
import { type CommitCore, createCommitCore } from '../../../controller/history/write/commit.ts';
import { openSqlite, type Sqlite } from '../../../shared/sqlite.ts';
import {
  eventPacket,
  eventRecord,
  packetOf,
  START_TS,
  WINDOW_MS,
  windowPacket,
  wireWindow,
} from '../../support/history-records.ts';

const RECEIVED_TS = START_TS + 60_000;

let sqlite: Sqlite;
let core: CommitCore;

beforeEach(() => {
  sqlite = openSqlite(':memory:', { migrations: MIGRATIONS });
  core = createCommitCore(sqlite);
});

afterEach(() => {
  expect(problemsOfHistory(sqlite, true)).toEqual([]);
  sqlite.close();
});

const rows = (table: string) => sqlite.prepare(`SELECT * FROM ${table}`).all();
const seen = () => sqlite.prepare('SELECT from_seq, to_seq FROM seen ORDER BY boot, from_seq').raw().all();

test('a window is stored as it came, under the middle of its time', () => {
  const window = wireWindow({ seq: 3 });
  const result = core.commit([windowPacket(window)], RECEIVED_TS);
  expect(result).toMatchObject({ windows: 1, events: 0, duplicates: 0, rejects: [], newEvents: [] });
  expect(result.acks).toEqual([{ device: 'jetson-1', ack: { bootId: '0000aaaa-0001', ranges: [[3, 3]] } }]);
  expect(result.newest).toEqual([{ device: 'jetson-1', ts: window.ts }]);
  expect(rows('windows')).toEqual([
    {
      id: 1,
      boot: 1,
      seq: 3,
      device: 1,
      at: window.ts - WINDOW_MS / 2,
      flags: 0,
      body: JSON.stringify(window.body),
    },
  ]);
  expect(rows('series')).toEqual([{ id: 1, kind: 'device', name: 'jetson-1' }]);
});

test('a batch is stored window by window, and a repeat of any of them changes nothing', () => {
  const windows = [1, 2, 3].map((seq) => wireWindow({ seq }));
  core.commit([windowPacket(...windows)], RECEIVED_TS);
  const before = rows('windows');
  const again = core.commit(
    [windowPacket(...windows), windowPacket(wireWindow({ seq: 2 }))],
    RECEIVED_TS + 1,
  );
  expect(again).toMatchObject({ windows: 0, duplicates: 4, newest: [] });
  expect(again.acks[0]?.ack.ranges).toEqual([[1, 3]]);
  expect(rows('windows')).toEqual(before);
});

test('one window of a batch that does not fit is refused by itself', () => {
  const [first, second, third] = [1, 2, 3].map((seq) => wireWindow({ seq }));
  const wrong = { ...second, body: { ...second?.body, d: -1 } };
  const result = core.commit([packetOf('telemetry', [first, wrong, 7, third])], RECEIVED_TS);
  expect(result).toMatchObject({
    windows: 2,
    acks: [
      {
        ack: {
          ranges: [
            [1, 1],
            [3, 3],
          ],
        },
      },
    ],
  });
  expect(result.rejects.map(({ reason }) => reason)).toEqual(['not-of-schema', 'not-of-schema']);
  expect(core.commit([packetOf('telemetry', [])], RECEIVED_TS).rejects).toHaveLength(1);
});

test('a repeat is known after a restart, and after its row was deleted', () => {
  core.commit([windowPacket(wireWindow({ seq: 1 }))], RECEIVED_TS);
  sqlite.exec('DELETE FROM windows');
  const result = createCommitCore(sqlite).commit([windowPacket(wireWindow({ seq: 1 }))], RECEIVED_TS);
  expect(result).toMatchObject({ windows: 0, duplicates: 1 });
  expect(result.acks[0]?.ack.ranges).toEqual([[1, 1]]);
});

test('ids go on rising when the newest rows were rolled up and deleted', () => {
  core.commit(
    [1, 2, 3].map((seq) => windowPacket(wireWindow({ seq }))),
    RECEIVED_TS,
  );
  sqlite.exec("INSERT INTO meta VALUES ('rolledUp', 3); DELETE FROM windows");
  createCommitCore(sqlite).commit([windowPacket(wireWindow({ seq: 4 }))], RECEIVED_TS);
  expect(rows('windows')).toMatchObject([{ id: 4, seq: 4 }]);
});

test('events share the numbers of their boot, and are handed on when they are new', () => {
  const event = eventRecord({ seq: 2 });
  const result = core.commit(
    [windowPacket(wireWindow({ seq: 1 })), eventPacket(event), eventPacket(event)],
    RECEIVED_TS,
  );
  expect(result).toMatchObject({ windows: 1, events: 1, duplicates: 1 });
  expect(result.newEvents).toEqual([{ device: 'jetson-1', ts: event.ts, kind: 'fault', body: event.body }]);
  expect(seen()).toEqual([[1, 2]]);
  expect(rows('counts')).toEqual([
    { name: 'events', rows: 1 },
    { name: 'windows', rows: 1 },
  ]);
});

test('a boot event tells of the boot before', () => {
  const previous = { bootId: '0000aaaa-0000', lastSeq: 41 };
  core.commit([eventPacket(eventRecord({ seq: 1 }, { kind: 'boot', version: '1', previous }))], RECEIVED_TS);
  expect(rows('boots')).toMatchObject([
    {
      boot_id: '0000aaaa-0001',
      previous_boot: previous.bootId,
      previous_last_seq: 41,
      first_ts: START_TS + WINDOW_MS,
    },
  ]);
});

test('alarms of the controller itself are events without a boot', () => {
  core.raise({ device: 'jetson-1', ts: 5.4, what: 'identity', reason: 'two of them' });
  core.raise({ device: 'jetson-1', ts: 6, what: 'identity', reason: 'two of them' });
  expect(rows('events')).toMatchObject([
    { id: 1, boot: null, seq: null, ts: 5, kind: 'alarm' },
    { id: 2, boot: null, seq: null, ts: 6, kind: 'alarm' },
  ]);
});

test.each([
  [
    'what is no JSON',
    { device: 'jetson-1', kind: 'telemetry', bytes: new Uint8Array([1, 2, 3]) },
    'not-json',
  ],
  ['what fits no schema', packetOf('telemetry', { v: 1 }), 'not-of-schema'],
  ['another protocol version', packetOf('event', { v: 2 }), 'wrong-version'],
  ["a window of another's", packetOf('telemetry', wireWindow({ device: 'other' })), 'not-of-schema'],
  ["an event of another's", packetOf('event', eventRecord({ device: 'other' })), 'not-of-schema'],
] as const)('%s is refused, and the rest is stored', (_, packet, reason) => {
  const result = core.commit([packet, windowPacket(wireWindow())], RECEIVED_TS);
  expect(result).toMatchObject({ windows: 1, rejects: [{ reason }] });
  expect(result.acks).toHaveLength(1);
});

test('a window with a broken sketch is refused alone', () => {
  const broken = JSON.parse(
    JSON.stringify(wireWindow({ seq: 1 })).replace(/(\[3,60,10,30,)"[^"]+"/, '$1"AAAA"'),
  );
  const result = core.commit([packetOf('telemetry', [broken, wireWindow({ seq: 2 })])], RECEIVED_TS);
  expect(result).toMatchObject({ windows: 1, rejects: [{ reason: 'not-of-schema' }] });
  expect(seen()).toEqual([[2, 2]]);
});

const USUAL = JSON.stringify(wireWindow());
const OTHER_BODY = JSON.stringify({ ...wireWindow().body, s: 7 });

test.each([
  ['as agents write it', USUAL, undefined],
  ['with spaces', ` ${USUAL.replace('"body":', '"body" : ')} `, undefined],
  ['with a field of a newer version behind the body', USUAL.replace(/}$/, ',"later":{"a":[1]}}'), undefined],
  ['with a field of a newer version before it', USUAL.replace('{"v"', '{"later":1,"v"'), undefined],
  ['with a second body, which counts', USUAL.replace(/}$/, `,"body":${OTHER_BODY}}`), 7],
  ['with numbers in another form', USUAL.replace('"seq":1,', '"seq":1.0,'), undefined],
])('an envelope %s is read, and its body stored as JSON', (_, text, switches) => {
  const bytes = new TextEncoder().encode(text);
  const result = core.commit([{ device: 'jetson-1', kind: 'telemetry', bytes }], RECEIVED_TS);
  expect(result).toMatchObject({ windows: 1, rejects: [] });
  const { body } = sqlite.prepare<[], { body: string }>('SELECT body FROM windows').get() ?? { body: '' };
  expect(JSON.parse(body)).toEqual({
    ...wireWindow().body,
    ...(switches === undefined ? {} : { s: switches }),
  });
});

test.each([
  ['cut short', USUAL.slice(0, -1)],
  ['closed twice', `${USUAL}}`],
  ['with a number that JSON does not know', USUAL.replace('"seq":1,', '"seq":01,')],
])('an envelope %s is refused', (_, text) => {
  const bytes = new TextEncoder().encode(text);
  const result = core.commit([{ device: 'jetson-1', kind: 'telemetry', bytes }], RECEIVED_TS);
  expect(result).toMatchObject({ windows: 0, rejects: [{ reason: 'not-json' }] });
});

test('a record that the database refuses does not hold up the others, and leaves no trace', () => {
  sqlite.exec(`CREATE TRIGGER picky BEFORE INSERT ON windows WHEN new.seq = 2
    BEGIN SELECT raise(ABORT, 'not this one'); END`);
  const result = core.commit(
    [1, 2, 3].map((seq) => windowPacket(wireWindow({ seq }))),
    RECEIVED_TS,
  );
  expect(result).toMatchObject({
    windows: 2,
    rejects: [{ reason: 'not-storable', detail: 'jetson-1 0000aaaa-0001 record 2: not this one' }],
  });
  expect(result.acks[0]?.ack.ranges).toEqual([
    [1, 1],
    [3, 3],
  ]);
  expect(rows('windows')).toMatchObject([{ id: 1 }, { id: 2 }]);
  sqlite.exec('DROP TRIGGER picky');
  expect(core.commit([windowPacket(wireWindow({ seq: 2 }))], RECEIVED_TS)).toMatchObject({ windows: 1 });
  expect(seen()).toEqual([[1, 3]]);
});

test('a packet of which the database refuses what is known of its boot does not hold up the others', () => {
  sqlite.exec(`CREATE TRIGGER picky BEFORE UPDATE ON boots WHEN new.previous_last_seq = 9
    BEGIN SELECT raise(ABORT, 'not this one'); END`);
  const previous = { bootId: '0000aaaa-0000', lastSeq: 9 };
  const packets = [
    windowPacket(wireWindow({ seq: 2 })),
    eventPacket(eventRecord({ seq: 1 }, { kind: 'boot', version: '0.1.0', previous })),
    windowPacket(wireWindow({ seq: 3 }), wireWindow({ seq: 4 })),
  ];
  expect(core.commit(packets, RECEIVED_TS)).toMatchObject({
    ...{ windows: 3, events: 0, duplicates: 0, newEvents: [] },
    acks: [{ ack: { ranges: [[2, 2]] } }, { ack: { ranges: [[3, 4]] } }],
    rejects: [{ reason: 'not-storable', detail: 'jetson-1: not this one' }],
    newest: [{ device: 'jetson-1', ts: wireWindow({ seq: 4 }).ts }],
  });
  expect(seen()).toEqual([[2, 4]]);
  sqlite.exec('DROP TRIGGER picky');
  expect(core.commit(packets, RECEIVED_TS)).toMatchObject({ windows: 0, events: 1, duplicates: 3 });
});

test('of thousands of records that are refused only some are told one by one; all are counted', () => {
  const foreign = Array.from({ length: 150 }, (_, seq) => wireWindow({ device: 'other', seq: seq + 1 }));
  const { rejects } = core.commit([packetOf('telemetry', foreign)], RECEIVED_TS);
  expect(rejects).toHaveLength(101);
  expect(rejects.at(-1)).toMatchObject({ reason: 'not-of-schema', records: 50 });
});

test.each([1e300, Number.MAX_SAFE_INTEGER + 1])('a boot before that ended at %s is none', (lastSeq) => {
  const previous = { bootId: '0000aaaa-0000', lastSeq };
  const packet = eventPacket(eventRecord({}, { kind: 'boot', version: '0.1.0', previous }));
  const result = core.commit([packet, windowPacket(wireWindow({ seq: 2 }))], RECEIVED_TS);
  expect(result).toMatchObject({ windows: 1, events: 0, rejects: [{ reason: 'not-of-schema' }] });
});

test('a boot that leaves out every second number is refused beyond a bound, and heals', () => {
  const odd = Array.from({ length: 4_100 }, (_, index) => 2 * index + 1);
  for (let at = 0; at < odd.length; at += 1_000) {
    core.commit(
      odd.slice(at, at + 1_000).map((seq) => eventPacket(eventRecord({ seq }))),
      RECEIVED_TS,
    );
  }
  expect(seen()).toHaveLength(4_096);
  const refused = core.commit([eventPacket(eventRecord({ seq: 8_195 }))], RECEIVED_TS);
  expect(refused).toMatchObject({ events: 0, acks: [], rejects: [{ reason: 'not-storable' }] });
  core.commit(
    [2, 4].map((seq) => eventPacket(eventRecord({ seq }))),
    RECEIVED_TS,
  );
  expect(core.commit([eventPacket(eventRecord({ seq: 8_195 }))], RECEIVED_TS)).toMatchObject({ events: 1 });
  expect(seen().slice(0, 2)).toEqual([
    [1, 5],
    [7, 7],
  ]);
});

test('more boots than memory holds are all known', () => {
  const boots = Array.from({ length: 5_000 }, (_, index) => index.toString(16).padStart(8, '0'));
  const packets = boots.map((bootId) => eventPacket(eventRecord({ bootId })));
  expect(core.commit(packets, RECEIVED_TS)).toMatchObject({ events: 5_000, duplicates: 0 });
  expect(core.commit(packets, RECEIVED_TS)).toMatchObject({ events: 0, duplicates: 5_000 });
});

test('when nothing can be stored nothing is, and the same succeeds when there is room', () => {
  core.commit([windowPacket(wireWindow({ seq: 1 }))], RECEIVED_TS);
  const pages = Number(sqlite.pragma('page_count', { simple: true }));
  sqlite.pragma(`max_page_count = ${pages + 4}`);
  const packets = Array.from({ length: 100 }, (_, index) =>
    windowPacket(wireWindow({ seq: index + 2, device: 'jetson-1' })),
  );
  expect(() => core.commit(packets, RECEIVED_TS)).toThrow(expect.objectContaining({ code: 'SQLITE_FULL' }));
  expect(rows('windows')).toHaveLength(1);
  expect(core.commit([windowPacket(wireWindow({ seq: 2 }))], RECEIVED_TS)).toMatchObject({ windows: 1 });
  sqlite.pragma('max_page_count = 1000000');
  expect(core.commit(packets, RECEIVED_TS)).toMatchObject({ windows: 99, duplicates: 1 });
  expect(seen()).toEqual([[1, 101]]);
});

test('the clock of a device is believed within bounds, else its monotonic clock dates', () => {
  const wall = (seq: number, ts: number, clock: 'synced' | 'unsynced' = 'synced') =>
    eventPacket(eventRecord({ seq, ts, monoMs: seq * 1_000, clock }));
  const receivedTs = START_TS + 100_000;
  core.commit(
    [
      wall(1, START_TS),
      wall(2, START_TS, 'unsynced'),
      wall(3, receivedTs + 10 * 60_000),
      wall(4, receivedTs + 10 * 60_000 + 1),
      wall(5, receivedTs - 400 * 86_400_000),
      wall(6, receivedTs - 400 * 86_400_000 - 1),
      wall(7, receivedTs - 5 * 60_000 - 1),
    ],
    receivedTs,
  );
  const dated = sqlite
    .prepare('SELECT seq, ts - ? AS ago, flags FROM events ORDER BY seq')
    .raw()
    .all(receivedTs);
  expect(dated).toEqual([
    [1, -100_000, 0],
    [2, 0, 1],
    [3, 600_000, 0],
    [4, 0, 1],
    [5, -400 * 86_400_000, 2],
    [6, 0, 1],
    [7, -300_001, 2],
  ]);
});

test('the quickest message of a boot says where its monotonic clock began', () => {
  const unsynced = (seq: number) =>
    eventPacket(eventRecord({ seq, ts: 0, monoMs: seq * 1_000, clock: 'unsynced' }));
  core.commit([unsynced(1)], START_TS + 1_500);
  core.commit([unsynced(3)], START_TS + 3_100);
  core.commit([unsynced(2)], START_TS + 60_000);
  expect(sqlite.prepare('SELECT seq, ts - ? AS ms FROM events ORDER BY seq').raw().all(START_TS)).toEqual([
    [1, 1_500],
    [2, 2_100],
    [3, 3_100],
  ]);
  expect(rows('boots')).toMatchObject([{ offset_ms: START_TS + 100, first_ts: START_TS + 1_500 }]);
});
