import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Trial } from '../../../agent/quarantine/child-trial.ts';
import { type Death, kernelBootId, type MarkedPoint, openMarker } from '../../../agent/quarantine/marker.ts';
import { qualifyPoints } from '../../../agent/quarantine/qualification.ts';
import { openQuarantine, STRIKE_WINDOW_MS } from '../../../agent/quarantine/quarantine.ts';
import { judgeSuspects } from '../../../agent/quarantine/suspect.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import { type StateFolder, stateFolder } from '../../support/agent.ts';

const CPU = { sha256: 'a'.repeat(64), providers: ['cpu'] };
const GPU = { ...CPU, providers: ['cuda', 'cpu'] };
const OTHER = { ...CPU, sha256: 'b'.repeat(64) };

let folder: StateFolder;
let database: Sqlite;
let nowMs: number;

beforeEach(async () => {
  folder = await stateFolder();
  database = folder.open();
  nowMs = 1_700_000_000_000;
});

afterEach(() => folder[Symbol.asyncDispose]());

function open(runtime = '1.30.0') {
  return openQuarantine({ database, now: () => nowMs, runtime });
}

describe('the quarantine', () => {
  test('holds for a file with its providers and the version of the library, and for nothing else', () => {
    const quarantine = open();
    quarantine.put(CPU, 'its process crashed with SIGSEGV');
    expect(quarantine.find(CPU)).toEqual({
      ...CPU,
      reason: 'its process crashed with SIGSEGV',
      sinceTs: 1_700_000_000_000,
    });
    expect(quarantine.find(GPU)).toBeUndefined();
    expect(quarantine.find(OTHER)).toBeUndefined();
    expect(open().list()).toHaveLength(1);
    expect(open('1.31.0').list()).toEqual([]);
    expect(open().list()).toEqual([]);
  });

  test('lets one out, or all', () => {
    const quarantine = open();
    for (const key of [CPU, GPU, OTHER]) quarantine.put(key, 'crashed');
    expect(quarantine.clear(GPU)).toBe(1);
    expect(quarantine.list().map(({ providers }) => providers)).toEqual([['cpu'], ['cpu']]);
    expect(quarantine.clear()).toBe(2);
    expect(quarantine.list()).toEqual([]);
    expect(quarantine.clear()).toBe(0);
  });

  test('takes a model at its second strike within an hour, not later', () => {
    const quarantine = open();
    expect(quarantine.strike(CPU, 'died')).toBe(false);
    nowMs += STRIKE_WINDOW_MS + 1;
    expect(quarantine.strike(CPU, 'died')).toBe(false);
    expect(quarantine.strike(OTHER, 'died')).toBe(false);
    nowMs += STRIKE_WINDOW_MS;
    expect(quarantine.strike(CPU, 'died')).toBe(true);
    expect(quarantine.list()).toMatchObject([{ ...CPU, reason: 'twice within an hour: died' }]);
  });

  test('counts a strike that lies ahead because the clock was set back, and forgets strikes of who is let out', () => {
    const quarantine = open();
    quarantine.strike(CPU, 'died');
    nowMs -= 10 * STRIKE_WINDOW_MS;
    expect(quarantine.strike(CPU, 'died')).toBe(true);
    quarantine.strike(OTHER, 'died');
    quarantine.clear(OTHER);
    expect(quarantine.strike(OTHER, 'died')).toBe(false);
  });

  test('is bounded, and so are its reasons', () => {
    const quarantine = open();
    for (let index = 0; index < 300; index += 1) {
      quarantine.put({ sha256: `${index}`.padStart(64, '0'), providers: ['cpu'] }, 'x'.repeat(5_000));
    }
    expect(quarantine.list()).toHaveLength(256);
    expect(quarantine.list().every(({ reason }) => reason.length === 1_000)).toBe(true);
    expect(quarantine.find({ sha256: '299'.padStart(64, '0'), providers: ['cpu'] })).toBeDefined();
  });
});

function point(level: number, modelPath = import.meta.filename): MarkedPoint {
  return { pe: 'cpu', level, modelPath, threads: 1, providers: ['cpu'], sha256: `${level}`.repeat(64) };
}

const POINTS = [point(0), point(1), point(2)];

interface Crime {
  readonly level?: number;
  readonly death?: Death;
  readonly kernelBoot?: string;
  readonly runtime?: string;
  readonly points?: readonly MarkedPoint[];
}

/** Leaves the marker as a process does that dies with a run of a level in flight. */
function die({
  level = 1,
  death,
  kernelBoot = kernelBootId(),
  runtime = '1.30.0',
  points = POINTS,
}: Crime = {}): void {
  const input = { name: 'image', shape: [1, 4] };
  const legend = { kernelBoot, runtime, input, output: { name: 'logits', shape: [1, 2] }, points };
  const marker = openMarker(folder.path, legend, (error) => {
    throw error;
  });
  void marker.during(level, 'run', () => new Promise(() => undefined));
  if (death !== undefined) marker.freeze(death);
}

function judge(outcome: Trial) {
  const retried: number[] = [];
  const quarantine = open();
  const judging = judgeSuspects({
    stateDir: folder.path,
    quarantine,
    runtime: '1.30.0',
    retry: async (suspect) => {
      retried.push(suspect.point.level);
      return outcome;
    },
  });
  return judging.then((judgements) => ({ judgement: judgements[0], judgements, retried, quarantine }));
}

const PASSED: Trial = { outcome: 'passed' };
const DIED: Trial = { outcome: 'died', reason: 'its process crashed with SIGSEGV' };

describe('a point that was in flight when the agent died', () => {
  test.each<[Death, string]>([
    ['crashed', 'the agent died in level 1 on cpu'],
    ['hung', 'the agent hung in level 1 on cpu'],
  ])('and %s again in a process of its own is quarantined at once', async (death, what) => {
    die({ death });
    const { judgement, retried, quarantine } = await judge(DIED);
    expect(retried).toEqual([1]);
    expect(judgement?.sentence).toBe('quarantined');
    const reason = `${what}; tried again in a process of its own: its process crashed with SIGSEGV`;
    expect(quarantine.list()).toMatchObject([{ sha256: '1'.repeat(64), reason }]);
  });

  test('gets a strike when it passes, and is quarantined at the second one; it is judged once for each', async () => {
    die();
    expect((await judge(PASSED)).judgement?.sentence).toBe('struck');
    expect((await judge(PASSED)).judgement).toBeUndefined();
    die({ level: 0 });
    expect((await judge(PASSED)).judgement?.sentence).toBe('struck');
    die({ death: 'hung' });
    const { judgement, quarantine } = await judge(PASSED);
    expect(judgement?.sentence).toBe('quarantined');
    expect(quarantine.list().map(({ sha256 }) => sha256)).toEqual(['1'.repeat(64)]);
  });

  test('gets a strike too when it can no longer be loaded', async () => {
    die();
    const { judgement } = await judge({ outcome: 'unfit', reason: 'cannot be loaded' });
    expect(judgement).toMatchObject({
      sentence: 'struck',
      reason: expect.stringContaining('cannot be loaded'),
    });
  });

  test('is let go when the machine was restarted, and quarantined all the same when it dies again', async () => {
    for (let cut = 0; cut < 3; cut += 1) {
      die({ kernelBoot: 'another' });
      expect((await judge(PASSED)).judgement?.sentence).toBe('let go');
    }
    die({ kernelBoot: 'another' });
    expect((await judge(DIED)).judgement?.sentence).toBe('quarantined');
  });

  test('is let go without a trial when the library is another one or its file is gone', async () => {
    die({ runtime: '1.29.0' });
    const other = await judge(DIED);
    expect([other.judgement?.sentence, other.retried]).toEqual(['let go', []]);
    die({ points: [point(0), point(1, '/nowhere/model.onnx')] });
    const gone = await judge(DIED);
    expect([gone.judgement?.sentence, gone.retried]).toEqual(['let go', []]);
  });

  test('of two engines gets no strike unless it hung; who dies again is quarantined', async () => {
    for (let death = 0; death < 3; death += 1) {
      die({ level: 0 });
      die({ level: 2 });
      const { judgements, retried } = await judge(PASSED);
      expect(judgements.map(({ sentence }) => sentence)).toEqual(['let go', 'let go']);
      expect(retried.sort()).toEqual([0, 2]);
    }
    die({ level: 0 });
    die({ level: 2, death: 'hung' });
    const hung = await judge(PASSED);
    expect(hung.judgements).toMatchObject([{ sentence: 'struck', suspect: { point: { level: 2 } } }]);
    die({ level: 0 });
    die({ level: 1 });
    expect((await judge(DIED)).quarantine.list()).toHaveLength(2);
  });

  test('is still the suspect when the judgement itself dies', async () => {
    die();
    const failing = judgeSuspects({
      stateDir: folder.path,
      quarantine: open(),
      runtime: '1.30.0',
      retry: () => Promise.reject(new Error('no more processes')),
    });
    await expect(failing).rejects.toThrow('no more processes');
    expect((await judge(PASSED)).judgement?.sentence).toBe('struck');
  });
});

describe('the qualification of a family', () => {
  const bad: Readonly<Record<number, Trial>> = { 1: DIED, 2: { outcome: 'unfit', reason: 'gave NaN' } };
  const attempts: number[][] = [];
  const attempt = async (points: readonly MarkedPoint[]): Promise<Trial> => {
    attempts.push(points.map(({ level }) => level));
    return points.map(({ level }) => bad[level]).find((trial) => trial !== undefined) ?? PASSED;
  };
  beforeEach(() => {
    attempts.length = 0;
  });

  test('tries all at once, and one by one only when that fails', async () => {
    expect(await qualifyPoints([point(0), point(3)], open(), attempt)).toEqual([]);
    expect(attempts).toEqual([[0, 3]]);
  });

  test('tells each that failed, and quarantines those that died', async () => {
    const quarantine = open();
    const failed = await qualifyPoints(POINTS, quarantine, attempt);
    expect(failed.map((each) => [each.point.level, each.reason])).toEqual([
      [1, 'its process crashed with SIGSEGV'],
      [2, 'gave NaN'],
    ]);
    expect(quarantine.list().map(({ sha256 }) => sha256)).toEqual(['1'.repeat(64)]);
    expect(attempts).toEqual([[0, 1, 2], [0], [1], [2]]);
  });

  test('refuses the family when not one passes', async () => {
    const all = qualifyPoints([point(1), point(2)], open(), attempt);
    await expect(all).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining('SIGSEGV') });
    await expect(qualifyPoints([point(2)], open(), attempt)).rejects.toThrow('gave NaN');
    expect(attempts).toEqual([[1, 2], [1], [2], [2]]);
  });
});
