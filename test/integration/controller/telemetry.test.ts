import { parquetReadObjects } from 'hyparquet';
import { expect, test } from 'vitest';
import type {
  GapRow,
  HistoryStatus,
  IntegrityAnswer,
  TailLine,
  TelemetryAnswer,
} from '../../../controller/api/history-schemas.ts';
import type { ControllerState, EventRow } from '../../../controller/api/schemas.ts';
import { systemClock } from '../../../shared/clock.ts';
import {
  connectDevice,
  eventOf,
  eventually,
  pointOf,
  runController,
  type TestController,
  windowOf,
} from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

async function connected(controller: TestController): Promise<void> {
  await eventually(async () => {
    const { body } = await controller.ask('GET', '/v1/status');
    expect((body as ControllerState).mqtt.connected).toBe(true);
  });
}

async function get<T>(controller: TestController, path: string): Promise<T> {
  const { status, body } = await controller.ask('GET', path);
  expect([status, body]).toEqual([200, body]);
  return body as T;
}

function fetchRaw(
  { controller, token }: TestController,
  path: string,
  signal?: AbortSignal,
): Promise<Response> {
  const headers = { authorization: `Bearer ${token}` };
  return fetch(`${controller.apiUrl}${path}`, { headers, ...(signal === undefined ? {} : { signal }) });
}

test('the history survives a restart and answers with merged percentiles and gaps', async () => {
  await using folder = await temporaryFolder();
  const t0 = Math.floor(systemClock.now() / 60_000) * 60_000 - 600_000;
  let token = '';
  {
    await using first = await runController(folder.path);
    token = first.token;
    await connected(first);
    await using device = await connectDevice({ url: first.controller.mqttUrl, id: 'jetson-1' });
    await device.sendWindows(
      windowOf({ seq: 1, ts: t0 + 5_500, body: { points: [pointOf([10, 10, 10])] } }),
      windowOf({ seq: 2, ts: t0 + 8_500, body: { points: [pointOf([90], { level: 2 })] } }),
    );
    await device.acknowledged(2);
  }
  await using second = await runController(folder.path, { token });
  expect(second.controller.token).toBeUndefined();
  const query = `/v1/telemetry/query?since=${t0}&until=${t0 + 5_000}`;
  const p100 = await get<TelemetryAnswer>(second, `${query}&metric=latencyMs&aggregate=p100`);
  expect(p100.series).toEqual([{ key: '', points: [{ ts: t0, value: 90, count: 4 }] }]);
  const buckets = await get<TelemetryAnswer>(second, `${query}&metric=latencyMs&bucketMs=1000`);
  expect(buckets.series[0]?.points).toEqual([
    { ts: t0, value: 10, count: 3 },
    { ts: t0 + 3_000, value: 90, count: 1 },
  ]);
  const share = await get<TelemetryAnswer>(second, `${query}&metric=share&by=level`);
  expect(share.series.map(({ key, points }) => [key, points[0]?.value])).toEqual([
    ['0', 0.75],
    ['2', 0.25],
  ]);
  const day = await get<TelemetryAnswer>(
    second,
    `/v1/telemetry/query?metric=windows&since=${t0}&bucket=day&timeZone=Europe/Berlin`,
  );
  expect(day).toMatchObject({ timeZone: 'Europe/Berlin', devices: 1, late: 2, bucketMs: 86_400_000 });
  expect(day.series[0]?.points[0]?.value).toBe(2);
});

test('a question that makes no sense is refused with what would', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  const refusal = async (query: string) => {
    const { status, body } = await controller.ask('GET', `/v1/telemetry/query?since=0&${query}`);
    expect([status, body]).toEqual([400, { error: expect.objectContaining({ code: 'usage' }) }]);
    return (body as { error: { message: string } }).error.message;
  };
  expect(await refusal('metric=accuracy&aggregate=p99')).toContain('these do: mean, count');
  expect(await refusal('metric=windows&timeZone=Nowhere')).toContain("'Nowhere'");
  expect(await refusal('metric=warmth')).toContain('tempC');
  const tail = await controller.ask('GET', '/v1/telemetry/tail?device=nobody');
  expect(tail.status).toBe(404);
});

test('gaps and events are listed, status and integrity are told', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await connected(controller);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.sendWindows(windowOf({ seq: 1 }), windowOf({ seq: 9 }));
  const bootId = windowOf().bootId;
  const gap = { kind: 'gap', bootId, from: 2, to: 4, records: 3, reason: 'outbox full' } as const;
  await device.sendEvent(eventOf({ seq: 10, body: gap }));
  await device.sendEvent(eventOf({ seq: 11 }));
  await device.acknowledged(11);
  const { gaps } = await get<{ gaps: GapRow[] }>(controller, '/v1/telemetry/gaps?device=jetson-1');
  expect(gaps.map(({ from, to, state }) => [from, to, state]).sort()).toEqual([
    [2, 4, 'counted'],
    [5, 8, 'missing'],
  ]);
  const { events } = await get<{ events: EventRow[] }>(controller, '/v1/events?contains=CAMERA');
  expect(events.map(({ kind }) => kind)).toEqual(['fault']);
  expect(await get<IntegrityAnswer>(controller, '/v1/history/integrity')).toEqual({ ok: true, problems: [] });
  const status = await get<HistoryStatus>(controller, '/v1/history/status');
  expect(status).toMatchObject({ windows: 2, boots: 1 });
});

test('a tail gives what comes in, and ends with its client', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await connected(controller);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  const end = new AbortController();
  const response = await fetchRaw(controller, '/v1/telemetry/tail?what=all', end.signal);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  // The first line says that the tail has begun.
  expect((await reader?.read())?.value).toBe('\n');
  await device.sendWindows(windowOf({ seq: 1 }));
  await device.sendEvent(eventOf({ seq: 2 }));
  let text = '';
  const lines = (): TailLine[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TailLine);
  while (lines().length < 2) text += (await reader?.read())?.value ?? '';
  expect(lines()).toMatchObject([
    { what: 'window', device: 'jetson-1', inferences: 3 },
    { what: 'event', device: 'jetson-1', kind: 'fault' },
  ]);
  end.abort();
  await expect(reader?.read()).rejects.toThrow();
});

test('an export is a file that others can read', async () => {
  await using folder = await temporaryFolder();
  await using controller = await runController(folder.path);
  await connected(controller);
  await using device = await connectDevice({ url: controller.controller.mqttUrl, id: 'jetson-1' });
  await device.sendWindows(windowOf({ seq: 1 }), windowOf({ seq: 2 }));
  await device.acknowledged(2);
  const response = await fetchRaw(controller, '/v1/telemetry/export?since=0&resolution=raw&table=points');
  expect(response.headers.get('content-type')).toBe('application/vnd.apache.parquet');
  const rows = await parquetReadObjects({ file: await response.arrayBuffer() });
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatchObject({ device: 'jetson-1', latencyMs_mean: 20, latencyMs_count: 3n });
  const csv = await fetchRaw(
    controller,
    '/v1/telemetry/export?since=0&resolution=day&table=windows&format=csv',
  );
  expect((await csv.text()).trim().split('\n')).toHaveLength(2);
});
