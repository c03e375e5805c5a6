import { expect, test, vi } from 'vitest';
import { Demo } from '../support/demo.ts';

const TOP = 4;
const PATIENCE = { timeout: 30_000, interval: 100 };

interface Answer {
  readonly devices: {
    readonly id: string;
    readonly online: boolean;
    readonly latest?: { readonly level: number };
  }[];
  readonly events: { readonly device: string; readonly ts: number; readonly kind: string }[];
  readonly series: { readonly key: string; readonly points: { readonly value: number }[] }[];
}

/** What the command prints is checked by its own tests; here its parts are only read. */
async function read<K extends keyof Answer>(demo: Demo, part: K, ...words: string[]): Promise<Answer[K]> {
  const answer = (await demo.json(...words)) as Answer;
  return answer[part];
}

test('a demonstration runs, follows a budget within two seconds, and accounts for every window', async () => {
  await using demo = await Demo.start('--devices', '2', '-o', 'table');
  await vi.waitFor(async () => {
    const devices = await read(demo, 'devices', 'devices', 'list');
    expect(devices.map(({ latest }) => latest !== undefined)).toEqual([true, true]);
  }, PATIENCE);

  // Nothing is fast enough for a microsecond, and everything for a minute: the fastest, then the most accurate.
  // On a noisy machine any of the smaller levels may have been measured as the fastest.
  expect(await demo.fleet('budget', 'set', '--latency', '1us')).toHaveProperty('status', 0);
  await vi.waitFor(async () => {
    const devices = await read(demo, 'devices', 'devices', 'list');
    expect(devices.map(({ latest }) => latest !== undefined && latest.level < TOP)).toEqual([true, true]);
  }, PATIENCE);
  expect(await demo.fleet('budget', 'set', '--latency', '1m')).toHaveProperty('status', 0);
  const setTs = Date.now();
  await vi.waitFor(async () => {
    const events = await read(demo, 'events', 'events', '--kind', 'switch', '--since', '1m');
    const after = events.filter(({ ts }) => ts > setTs - 2_000);
    for (const device of ['demo-1', 'demo-2']) {
      const first = after.filter((event) => event.device === device).at(-1);
      expect(first?.ts).toBeLessThan(setTs + 2_000);
    }
  }, PATIENCE);
  await vi.waitFor(async () => {
    const words = ['--metric', 'share', '--by', 'level', '--since', '1m', '--bucket', '1s'];
    const series = await read(demo, 'series', 'telemetry', 'query', ...words);
    expect(series.map(({ key }) => key)).toContain(String(TOP));
  }, PATIENCE);

  const { status, stdout } = await demo.stop();
  expect(stdout).toMatch(/demo-1 .*\b0 missing\ndemo-2 .*\b0 missing\n$/);
  expect(status).toBe(0);
});

test('commands reach a running agent: ping, logs, restart, remote settings', async () => {
  await using demo = await Demo.start('--devices', '1');
  await vi.waitFor(async () => {
    expect(await demo.fleet('devices', 'ping', 'demo-1')).toHaveProperty('status', 0);
  }, PATIENCE);
  expect((await demo.fleet('devices', 'logs', 'demo-1')).stdout).toContain('agent started');
  expect(await demo.fleet('devices', 'config', 'set', 'demo-1', 'window=200ms')).toHaveProperty('status', 0);
  await vi.waitFor(async () => {
    const shown = await demo.json('devices', 'show', 'demo-1');
    expect(shown).toMatchObject({
      reported: { settings: { windowMs: 200 }, sources: { windowMs: 'device' } },
    });
  }, PATIENCE);
  const before = await demo.json('devices', 'show', 'demo-1');
  expect(before).toHaveProperty('reported.bootId');
  expect(await demo.fleet('devices', 'restart', 'demo-1')).toHaveProperty('status', 0);
  await vi.waitFor(async () => {
    const now = await demo.json('devices', 'show', 'demo-1');
    expect(now).toMatchObject({ online: true });
    expect(now).not.toHaveProperty(
      'reported.bootId',
      (before as { reported: { bootId: string } }).reported.bootId,
    );
  }, PATIENCE);
  expect(await demo.fleet('devices', 'ping', 'nobody')).toMatchObject({ status: 3 });
});
