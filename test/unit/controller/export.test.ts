import { parquetReadObjects } from 'hyparquet';
import { expect, test } from 'vitest';
import { type ExportQuestion, exportEnd } from '../../../controller/history/read/export.ts';
import { bodyOf, createWorld, HOUR_MS, pointOf, type World } from './query-world.ts';

const T0 = Date.parse('2026-10-20T00:00Z');
const ALL = {
  table: 'points',
  resolution: 'hour',
  format: 'parquet',
  devices: undefined,
  since: T0,
  until: T0 + 100 * HOUR_MS,
  rows: 3,
} as const satisfies Omit<ExportQuestion, 'cursor' | 'offset'>;

/** The whole file, page by page as the API does it. */
function fileOf(world: World, change: Partial<ExportQuestion> = {}): { bytes: Buffer; pages: number } {
  const question = { ...ALL, ...change };
  const parts: Uint8Array[] = [];
  const groups = [];
  let offset = 0;
  let cursor: ExportQuestion['cursor'];
  do {
    const page = world.core.exportPage({ ...question, cursor, offset });
    parts.push(page.bytes);
    offset += page.bytes.length;
    // As between threads.
    if (page.group !== undefined) groups.push(structuredClone(page.group));
    cursor = page.next;
  } while (cursor !== undefined);
  return { bytes: Buffer.concat([...parts, exportEnd(question, groups, offset)]), pages: parts.length };
}

async function rowsOf(world: World, change: Partial<ExportQuestion> = {}) {
  const { bytes, pages } = fileOf(world, change);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  return { pages, rows: await parquetReadObjects({ file }) };
}

function filled(): World {
  const world = createWorld();
  const windows = ['a', 'b'].flatMap((device) =>
    Array.from({ length: 8 }, (_, index) => ({
      device,
      at: T0 + index * HOUR_MS + 5_000,
      body: bodyOf({ points: [pointOf([1, 2, 3, 4]), pointOf([9], { level: 1, pe: 'gpu' })] }),
    })),
  );
  world.add(...windows.slice(0, 6));
  world.rollUp();
  world.add(...windows.slice(6));
  return world;
}

test('a Parquet file holds every operating point of every span once, rolled up or not', async () => {
  using world = filled();
  const { rows, pages } = await rowsOf(world);
  expect(pages).toBeGreaterThan(5);
  expect(rows).toHaveLength(32);
  expect(new Set(rows.map(({ device, start, level }) => `${device} ${start} ${level}`)).size).toBe(32);
  expect(rows[0]).toMatchObject({
    device: 'a',
    start: new Date(T0),
    spanMs: HOUR_MS,
    family: 'f'.repeat(64),
    pe: 'cpu',
    level: 0n,
    inferences: 4n,
    latencyMs_count: 4n,
    latencyMs_mean: 2.5,
    latencyMs_max: 4,
    latencyMs_p50: expect.closeTo(2, 1),
    energyJ_mean: null,
  });
});

test('raw windows are pages too, also where several are of the same moment', async () => {
  using world = createWorld();
  const body = bodyOf({ gauges: { powerW: { mean: 5, min: 4, max: 6, ms: 10_000 } } });
  world.add(...Array.from({ length: 10 }, () => ({ device: 'a', at: T0 + 5_000, body })));
  const { rows } = await rowsOf(world, { table: 'windows', resolution: 'raw' });
  expect(rows).toHaveLength(10);
  expect(rows[0]).toMatchObject({
    start: new Date(T0),
    spanMs: 10_000,
    windows: 1n,
    powerW_mean: 5,
    price_mean: null,
  });
});

test('an export of nothing is a file without rows', async () => {
  using world = createWorld();
  expect((await rowsOf(world)).rows).toEqual([]);
});

test('CSV has one head, times in ISO 8601, and nothing where nothing is known', () => {
  using world = filled();
  const lines = fileOf(world, { format: 'csv', devices: ['b'], table: 'windows' })
    .bytes.toString()
    .trim()
    .split('\n');
  expect(lines).toHaveLength(9);
  expect(lines[0]).toMatch(/^device,start,spanMs,windows,/);
  expect(lines[1]).toMatch(/^b,2026-10-20T00:00:00.000Z,3600000,1,10000,/);
});

test('events are exported with their bodies', async () => {
  using world = createWorld();
  const body = { kind: 'fault', what: 'camera', reason: 'a "quoted", line' } as const;
  for (let index = 0; index < 7; index += 1) world.addEvent('a', T0 + (index >> 1), body);
  const { rows } = await rowsOf(world, { table: 'events' });
  expect(rows).toHaveLength(7);
  expect(JSON.parse(String(rows[6]?.['body']))).toEqual(body);
  const csv = fileOf(world, { table: 'events', format: 'csv' }).bytes.toString();
  expect(csv.match(/^a,/gm)).toHaveLength(7);
});
