import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ProfileFacts, profileKey } from '../../../agent/profile/key.ts';
import { readMachine } from '../../../agent/profile/machine.ts';
import { MAX_PROFILES, openProfileStore, type PointFigures } from '../../../agent/profile/profile-store.ts';
import { stateFolder } from '../../support/agent.ts';
import { temporaryFolder } from '../../support/temp.ts';

const LEVELS = ['a'.repeat(64), 'b'.repeat(64)];

const FACTS: ProfileFacts = {
  machine: { deviceModel: 'Orin NX, 8 cores, arm64', powerMode: '15W', clocks: 'policy0 1-2' },
  runtime: '1.30.0',
  elements: [
    { pe: 'cpu', providers: ['cpu'], threads: [1, 8] },
    { pe: 'gpu', providers: ['cuda', 'cpu'], threads: [1] },
  ],
  levels: LEVELS,
};

function figures(change: Partial<PointFigures> = {}): PointFigures {
  const latency = { medianMs: 3.5, p95Ms: 4, madMs: 0.1, runs: 20 };
  return {
    pe: 'cpu',
    level: 1,
    sha256: 'b'.repeat(64),
    threads: 8,
    latency,
    memoryBytes: 5e6,
    energyJ: 0.02,
    ...change,
  };
}

const PROFILE = { measuredTs: 1_700_000_000_000, points: [figures()] };

function withMode(powerMode: string): ProfileFacts {
  return { ...FACTS, machine: { ...FACTS.machine, powerMode } };
}

describe('the key of a profile', () => {
  const [cpu, gpu] = FACTS.elements;
  const others: [what: string, facts: ProfileFacts][] = [
    ['device', { ...FACTS, machine: { ...FACTS.machine, deviceModel: 'Orin Nano' } }],
    ['power mode', withMode('MAXN')],
    ['clocks', { ...FACTS, machine: { ...FACTS.machine, clocks: 'policy0 2-2' } }],
    ['version of the library', { ...FACTS, runtime: '1.31.0' }],
    ['provider', { ...FACTS, elements: [{ pe: 'cpu', providers: ['xnnpack', 'cpu'], threads: [1, 8] }] }],
    ['choice of threads', { ...FACTS, elements: [{ pe: 'cpu', providers: ['cpu'], threads: [1] }] }],
    ['order of elements', { ...FACTS, elements: [gpu, cpu].flatMap((each) => each ?? []) }],
    ['family', { ...FACTS, levels: LEVELS.toReversed() }],
  ];

  test.each(others)('is another one for another %s', (_, facts) => {
    expect(profileKey(facts)).not.toBe(profileKey(FACTS));
  });

  test('does not depend on the order in which facts are written down', () => {
    const { machine, ...rest } = FACTS;
    const turned = Object.fromEntries(Object.entries(machine).reverse()) as ProfileFacts['machine'] & object;
    expect(profileKey({ machine: turned, ...rest })).toBe(profileKey(FACTS));
  });
});

describe('the store of profiles', () => {
  test('gives back what was saved for the same facts, also after a restart, and nothing for others', async () => {
    await using folder = await stateFolder();
    const first = folder.open();
    openProfileStore(first).save(FACTS, PROFILE);
    first.close();
    const store = openProfileStore(folder.open());
    expect(store.find(FACTS)).toEqual(PROFILE);
    expect(store.find(withMode('MAXN'))).toBeUndefined();
  });

  test('keeps the profile of each power mode, and drops the one that was not used for longest', async () => {
    await using folder = await stateFolder();
    const store = openProfileStore(folder.open());
    for (let mode = 0; mode < MAX_PROFILES; mode += 1) store.save(withMode(`${mode}`), PROFILE);
    expect(store.find(withMode('0'))).toEqual(PROFILE);
    store.save(withMode('another'), PROFILE);
    expect(store.count()).toBe(MAX_PROFILES);
    expect(store.find(withMode('0'))).toEqual(PROFILE);
    expect(store.find(withMode('1'))).toBeUndefined();
    expect(store.find(withMode('another'))).toEqual(PROFILE);
  });

  const damages: [what: string, points: string][] = [
    ['is not JSON', '[{'],
    ['is empty', '[]'],
    ['is of another schema', '[{"pe": "cpu"}]'],
    [
      'has a latency of zero',
      JSON.stringify([figures({ latency: { medianMs: 0, p95Ms: 1, madMs: 0, runs: 1 } })]),
    ],
    ['has an infinite latency', JSON.stringify([figures()]).replace('3.5', '1e999')],
    ['is of another file', JSON.stringify([figures({ sha256: 'c'.repeat(64) })])],
    ['is of a level that the family has not', JSON.stringify([figures({ level: 7 })])],
    ['is of threads that are not to choose from', JSON.stringify([figures({ threads: 3 })])],
    ['is of an element that is not there', JSON.stringify([figures({ pe: 'gpu' })])],
  ];

  test.each(damages)('does not use a row that %s', async (_, points) => {
    await using folder = await stateFolder();
    const database = folder.open();
    const store = openProfileStore(database);
    store.save(FACTS, PROFILE);
    database.prepare('UPDATE profiles SET points = ?').run(points);
    expect(store.find(FACTS)).toBeUndefined();
    store.save(FACTS, PROFILE);
    expect(store.find(FACTS)).toEqual(PROFILE);
  });
});

describe('the state of a machine', () => {
  async function write(root: string, files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(join(root, path, '..'), { recursive: true });
      await writeFile(join(root, path), text);
    }
  }

  test('names the board, the power mode and the limits of the clocks', async () => {
    await using folder = await temporaryFolder();
    await write(folder.path, {
      'sys/firmware/devicetree/base/model': 'NVIDIA Jetson Orin NX\0',
      'sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq': '115200\n',
      'sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq': '1984000\n',
      'sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq': '1984000\n',
      'sys/class/devfreq/17000000.ga10b/min_freq': '306000000\n',
      'sys/class/devfreq/17000000.ga10b/max_freq': '918000000\n',
    });
    expect(await readMachine({ root: folder.path, powerMode: async () => '15W' })).toEqual({
      deviceModel: expect.stringContaining('NVIDIA Jetson Orin NX, '),
      powerMode: '15W',
      clocks: 'policy0 115200-1984000, 17000000.ga10b 306000000-918000000',
    });
  });

  test('is the processor alone where nothing more can be read', async () => {
    await using folder = await temporaryFolder();
    const powerMode = async (): Promise<string> => Promise.reject(new Error('no nvpmodel here'));
    const machine = await readMachine({ root: folder.path, powerMode });
    expect(machine).toMatchObject({ powerMode: 'none', clocks: 'unknown' });
    expect(machine.deviceModel).toMatch(/\d+ cores/);
  });
});
