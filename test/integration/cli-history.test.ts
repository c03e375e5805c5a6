import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { manualClock } from '../support/clock.ts';
import type { FakeApi } from './cli/fake-api.ts';
import { ALERT, GAPS, HISTORY_STATUS } from './cli/samples.ts';
import { createWorld, type World, words } from './cli/world.ts';

const EXPORT = 'GET /v1/telemetry/export';
const NOW = 1_777_000_060_000;

let world: World;
let api: FakeApi;

beforeEach(async () => {
  world = await createWorld();
  api = world.api;
});

afterEach(() => world[Symbol.asyncDispose]());

function here(line: string) {
  return world.here(words(line), { clock: manualClock(NOW) });
}

describe('telemetry gaps', () => {
  it('lists what is lost and what is missing, and counts both', async () => {
    api.script = { 'GET /v1/telemetry/gaps': { body: { gaps: GAPS } } };
    const { status, out, err } = await here('telemetry gaps --since 1d -g cameras');
    expect(status).toBe(0);
    expect(out).toMatch(/^2026-04-24T03:06:40\.000Z +jetson-1 +counted +12 +10 +21 .* the outbox was full$/m);
    expect(err).toBe('12 records are lost, 3 are missing and may still arrive\n');
    expect(api.seen[0]?.query).toEqual({ group: 'cameras', limit: 100, since: NOW - 86_400_000 });
    expect(JSON.parse((await here('telemetry gaps -o json')).out)).toEqual({ gaps: GAPS });
    const cut = await here(`telemetry gaps -n ${GAPS.length}`);
    expect(cut.err).toMatch(/^of the newest 2 gaps, there may be more: 12 records are lost/);
    api.script = { 'GET /v1/telemetry/gaps': { body: { gaps: [] } } };
    expect((await here('telemetry gaps')).err).toBe('no gaps\n');
  });
});

describe('telemetry export', () => {
  const file = (name: string): string => join(world.home, name);

  it('writes a file in the format that its name ends with, and nothing else', async () => {
    api.script = { [EXPORT]: { body: undefined, bits: ['PAR1', 'data', 'PAR1'], after: 'end' } };
    const { status, out, err } = await here(`telemetry export --out ${file('p.parquet')} --since 30d`);
    expect({ status, out }).toEqual({ status: 0, out: '' });
    expect(err).toBe(`wrote ${file('p.parquet')}: 12 B\n`);
    expect(await readFile(file('p.parquet'), 'utf8')).toBe('PAR1dataPAR1');
    expect(await readdir(world.home)).toEqual(['p.parquet']);
    expect(api.seen[0]?.query).toEqual({
      ...{ table: 'points', resolution: 'hour', format: 'parquet', since: NOW - 30 * 86_400_000 },
    });
  });

  it('replaces a file only when it is told to', async () => {
    await writeFile(file('w.csv'), 'old');
    api.script = { [EXPORT]: { body: undefined, bits: ['new'], after: 'end' } };
    const command = `telemetry export --out ${file('w.csv')} --table windows --resolution raw`;
    const refused = await here(command);
    expect(refused).toEqual({
      ...{ status: 1, out: '' },
      err: `ofa-fleet: ${file('w.csv')} is there already; --force replaces it\n`,
    });
    expect(api.seen).toEqual([]);
    expect((await here(`${command} --force`)).status).toBe(0);
    expect(await readFile(file('w.csv'), 'utf8')).toBe('new');
  });

  it('leaves what was there, and no half of a file, when the controller goes away or the user stops it', async () => {
    await writeFile(file('w.csv'), 'old');
    api.script = { [EXPORT]: { body: undefined, bits: ['half'], after: 'cut' } };
    const command = `telemetry export --out ${file('w.csv')} --force`;
    const cut = await here(command);
    expect([cut.status, cut.err]).toEqual([7, expect.stringContaining(`${file('w.csv')} was not written`)]);
    api.script = { [EXPORT]: { body: undefined, bits: ['half'], after: 'open' } };
    const stopped = await world.here(words(command), { stopped: async () => undefined });
    expect([stopped.status, stopped.err]).toEqual([1, expect.stringContaining('stopped before the end')]);
    expect(await readdir(world.home)).toEqual(['w.csv']);
    expect(await readFile(file('w.csv'), 'utf8')).toBe('old');
  });

  it('writes CSV to standard output, and no Parquet', async () => {
    api.script = { [EXPORT]: { body: undefined, bits: ['ts,', 'device\n'], after: 'end' } };
    expect(await here('telemetry export --out - --table events')).toEqual({
      ...{ status: 0, out: 'ts,device\n', err: '' },
    });
    for (const wrong of ['--out - --format parquet', '--out points.xlsx', '--out a.csv --table party']) {
      expect((await here(`telemetry export ${wrong}`)).status).toBe(2);
    }
    expect((await here(`telemetry export --out ${world.home} --format csv --force`)).err).toContain(
      'is not a file',
    );
    const nowhere = await here(`telemetry export --out ${file('no/such.csv')}`);
    expect(nowhere.err).toContain('its folder is not there');
  });
});

describe('alerts list', () => {
  it('lists them with their device, or the controller where they are of it', async () => {
    const own = { ...ALERT, id: 'a-2', rule: 'history-stalled', device: null, text: 'disk full' } as const;
    api.script = { 'GET /v1/alerts': { body: { alerts: [ALERT, own] } } };
    const { out } = await here('alerts list --device jetson-1 --state firing');
    expect(out).toMatch(/^1m ago +critical +firing +budget-violated +jetson-1 +- +latency cannot be met$/m);
    expect(out).toMatch(/ \(controller\) +- +disk full$/m);
    expect(api.seen[0]?.query).toEqual({ device: 'jetson-1', state: 'firing', limit: 100 });
    expect((await here('alerts list --state loud')).status).toBe(2);
    api.script = { 'GET /v1/alerts': { body: { alerts: [] } } };
    expect((await here('alerts list')).err).toBe('no alerts\n');
  });
});

describe('history', () => {
  it('is shown, backed up and checked', async () => {
    const made = { path: '/var/lib/ofa-fleet/backups/x', bytes: 1_500_000, devices: 3, windows: 116 };
    api.script = {
      'GET /v1/history/status': { body: HISTORY_STATUS },
      'POST /v1/history/backup': { body: made },
      'GET /v1/history/integrity': { body: { ok: true, problems: [] } },
    };
    expect((await here('history status')).out).toMatch(/^windows not summarised yet +4\n.* 12s ago$/m);
    expect((await here('history backup')).out).toMatch(/^\/var\/lib\/\S+ +1\.5 MB +3 +116$/m);
    expect(await here('history integrity')).toEqual({ status: 0, out: '', err: 'no problems\n' });
  });

  it('that is damaged is told of, with status 1', async () => {
    const body = { ok: false, problems: ['page 7 is never used'] };
    api.script = { 'GET /v1/history/integrity': { body } };
    const found = await here('history integrity -o json');
    expect(found).toMatchObject({ status: 1, err: 'ofa-fleet: the history is damaged: 1 problems\n' });
    expect(JSON.parse(found.out)).toEqual(body);
  });

  it('is not restored from a folder that is no backup', async () => {
    const restored = await here(`history restore ${world.home} --state ${join(world.home, 'state')}`);
    expect([restored.status, restored.err]).toEqual([3, expect.stringContaining(world.home)]);
    expect(api.seen).toEqual([]);
  });
});
