import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ChosenPoint, Contender } from '../../../agent/profile/contender.ts';
import { configuredElements, contendersOf, waysToRun } from '../../../agent/profile/contender.ts';
import type { ProfileFacts } from '../../../agent/profile/key.ts';
import { type Obtained, obtainProfile } from '../../../agent/profile/obtain.ts';
import { openProfileStore, type ProfileStore } from '../../../agent/profile/profile-store.ts';
import { createProfiler, type ProfilerDeps } from '../../../agent/profile/profiler.ts';
import { startWarmEngine } from '../../../agent/profile/warm-engine.ts';
import { AppError } from '../../../shared/errors.ts';
import type { Family } from '../../../shared/family/read.ts';
import { type StateFolder, stateFolder } from '../../support/agent.ts';
import { bundledFamily } from '../../support/bundled.ts';
import { type JumpingClock, jumpingClock } from '../../support/clock.ts';

const ELEMENTS = [{ pe: 'cpu', providers: ['cpu'], threads: [1] }] as const;

let folder: StateFolder;
let store: ProfileStore;
let family: Family;
let contenders: readonly Contender[];
let facts: ProfileFacts;
let clock: JumpingClock;

beforeEach(async () => {
  folder = await stateFolder();
  store = openProfileStore(folder.open());
  family = await bundledFamily();
  contenders = contendersOf(family, ELEMENTS).slice(0, 3);
  clock = jumpingClock();
  facts = {
    machine: { deviceModel: 'test', powerMode: '15W', clocks: 'fixed' },
    runtime: '1.30.0',
    elements: ELEMENTS,
    levels: family.manifest.levels.map(({ model }) => model.sha256),
  };
});

afterEach(() => folder[Symbol.asyncDispose]());

/** An engine whose points take as long as is said, or cannot be loaded. */
function engineOf(
  points: readonly ChosenPoint[],
  takesMs: (level: number) => number,
  broken: readonly number[] = [],
) {
  const warm = new Set<number>();
  const diary: string[] = [];
  const levelOf = (point: number): number => points[point]?.level ?? -1;
  return {
    diary,
    load: async (point: number) => {
      diary.push(`load ${levelOf(point)}`);
      if (broken.includes(levelOf(point))) throw new AppError('invalid', `level ${levelOf(point)}: rotten`);
      warm.add(point);
    },
    unload: async (point: number) => {
      diary.push(`unload ${levelOf(point)}`);
      warm.delete(point);
    },
    run: async (point: number) => {
      if (!warm.has(point)) throw new AppError('conflict', 'not warm');
      diary.push(`run ${levelOf(point)}`);
      clock.pass(takesMs(levelOf(point)));
      return { totalMs: takesMs(levelOf(point)) };
    },
    isWarm: (point: number) => warm.has(point),
    [Symbol.asyncDispose]: async () => {
      diary.push('close');
    },
  };
}

type ScriptedEngine = ReturnType<typeof engineOf>;

function obtain(of: readonly Contender[], broken: readonly number[] = []) {
  const engines: ScriptedEngine[] = [];
  const notKept: unknown[] = [];
  const options = {
    store,
    facts,
    clock,
    frame: new Uint8Array(4),
    periodMs: 20,
    onNotKept: (error: unknown) => notKept.push(error),
    startEngine: async (points: readonly ChosenPoint[]) => {
      const engine = engineOf(points, (level) => level + 1, broken);
      engines.push(engine);
      return engine;
    },
  };
  return obtainProfile(of, options).then((obtained) => ({ obtained, engines, notKept }));
}

describe('the elements of a configuration', () => {
  test('are the processor with its threads to choose from, and the graphics processor with its providers', () => {
    const config = {
      elements: ['cpu', 'gpu'],
      threads: 2,
      cpuThreads: null,
      gpuProviders: ['cuda'],
    } as const;
    expect(configuredElements(config)).toEqual([
      { pe: 'cpu', providers: ['cpu'], threads: [2] },
      { pe: 'gpu', providers: ['cuda'], threads: [2] },
    ]);
    const [cpu] = configuredElements({ ...config, cpuThreads: [4, 1, 4] });
    const [first] = contendersOf(family, cpu === undefined ? [] : [cpu]);
    expect(first?.threads).toEqual([1, 4]);
  });
});

describe('the profile to begin with', () => {
  test('is measured once and kept; the next start measures nothing', async () => {
    const first = await obtain(contenders);
    expect(first.obtained.info).toMatchObject({ source: 'measured' });
    expect(first.obtained.info.points.map(({ latency }) => latency.medianMs)).toEqual([1, 2, 3]);
    expect(first.engines[0]?.diary.at(-1)).toBe('close');
    const second = await obtain(contenders);
    expect(second.engines).toEqual([]);
    expect(second.obtained).toEqual({
      ...first.obtained,
      info: { ...first.obtained.info, source: 'stored' },
    });
  });

  test('serves a part of the levels as well, and is measured anew for one that it lacks', async () => {
    await obtain(contenders.slice(0, 2));
    const part = await obtain(contenders.slice(1, 2));
    expect(part.engines).toEqual([]);
    expect(part.obtained.points.map(({ level }) => level)).toEqual([1]);
    expect((await obtain(contenders)).engines).toHaveLength(1);
  });

  test('is measured anew when another form of a model is run', async () => {
    await obtain(contenders);
    const lean = contenders.map((contender) => ({
      ...contender,
      leanPath: `/lean/${contender.sha256}.onnx`,
    }));
    expect((await obtain(lean)).engines).toHaveLength(1);
    expect((await obtain(lean)).engines).toHaveLength(0);
  });

  test('leaves out what cannot be loaded, and is an error when that is all', async () => {
    const { obtained } = await obtain(contenders, [1]);
    expect(obtained.points.map(({ level }) => level)).toEqual([0, 2]);
    expect(obtained.leftOut).toEqual([{ pe: 'cpu', level: 1, reason: 'level 1: rotten' }]);
    await expect(obtain(contenders.slice(1, 2), [1])).rejects.toMatchObject({ code: 'invalid' });
  });

  test('is used where it cannot be kept', async () => {
    const save = (): never => {
      throw new Error('database or disk is full');
    };
    store = { ...store, save };
    const { obtained, notKept } = await obtain(contenders);
    expect(obtained.points).toHaveLength(3);
    expect(notKept).toHaveLength(1);
  });
});

describe('the engine that serves', () => {
  const start = (obtained: Obtained, broken: readonly number[], engines: ScriptedEngine[]) =>
    startWarmEngine(obtained, {
      startEngine: async (points) => {
        const engine = engineOf(points, () => 1, broken);
        engines.push(engine);
        return engine;
      },
      warm: ({ points }) => [...points.keys()],
    });

  test('is started again without what cannot be loaded any more, and fits its profile', async () => {
    const { obtained } = await obtain(contenders);
    const engines: ScriptedEngine[] = [];
    const started = await start(obtained, [0], engines);
    expect(engines.map(({ diary }) => diary)).toEqual([
      ['load 0', 'load 1', 'load 2', 'close'],
      ['load 1', 'load 2'],
    ]);
    expect(started.points.map(({ level }) => level)).toEqual([1, 2]);
    expect(started.info.points.map(({ level }) => level)).toEqual([1, 2]);
    expect(started.leftOut).toEqual([{ pe: 'cpu', level: 0, reason: 'level 0: rotten' }]);
  });

  test('is closed when nothing can be loaded', async () => {
    const { obtained } = await obtain(contenders);
    const engines: ScriptedEngine[] = [];
    await expect(start(obtained, [0, 1, 2], engines)).rejects.toMatchObject({ code: 'invalid' });
    expect(engines.map(({ diary }) => diary.at(-1))).toEqual(['close']);
  });
});

describe('measuring again', () => {
  async function profilerOf(change: Partial<ProfilerDeps> = {}) {
    const { obtained } = await obtain(contenders);
    const points = contenders.flatMap(waysToRun);
    const engine = engineOf(points, (level) => 10 * (level + 1));
    for (const point of [0, 1]) await engine.load(point);
    engine.diary.length = 0;
    const deps = {
      engine,
      points,
      info: obtained.info,
      family,
      store,
      clock,
      frame: new Uint8Array(4),
      periodMs: 20,
    };
    const profiler = createProfiler({ ...deps, readFacts: async () => facts, rounds: 5, ...change });
    return { profiler, engine };
  }
  const latencies = (of: { profile(): readonly { latencyMs: number }[] }) =>
    of.profile().map((p) => p.latencyMs);

  test('takes warm points in turn, loads a cold one for it, and is then in force and kept', async () => {
    const { profiler, engine } = await profilerOf();
    expect(latencies(profiler)).toEqual([1, 2, 3]);
    const info = await profiler.remeasure(() => true, AbortSignal.timeout(5_000));
    expect(latencies(profiler)).toEqual([10, 20, 30]);
    expect(info).toMatchObject({ source: 'measured' });
    expect(engine.diary.slice(0, 4)).toEqual(['run 0', 'run 1', 'run 0', 'run 1']);
    expect(engine.diary.slice(14)).toEqual(['load 2', ...Array(7).fill('run 2'), 'unload 2']);
    expect(store.find(facts)?.points.map(({ latency }) => latency.medianMs)).toEqual([10, 20, 30]);
  });

  test('is not needed for a power mode whose profile is kept', async () => {
    const other = { ...facts, machine: { ...facts.machine, powerMode: 'MAXN' } };
    let now = facts;
    const { profiler } = await profilerOf({ readFacts: async () => now });
    expect(await profiler.adopt()).toBe(false);
    now = other;
    expect(await profiler.adopt()).toBe(false);
    await profiler.remeasure(() => true, AbortSignal.timeout(5_000));
    expect(latencies(profiler)).toEqual([10, 20, 30]);
    now = facts;
    expect(await profiler.adopt()).toBe(true);
    expect(latencies(profiler)).toEqual([1, 2, 3]);
    expect(profiler.info()).toMatchObject({ source: 'stored', facts: { machine: { powerMode: '15W' } } });
  });

  test('runs only in idle time, and does not count a run during which that ended', async () => {
    const { profiler, engine } = await profilerOf();
    // Of three questions in turn: busy; idle before the run and busy after it; idle both times.
    const answers = [false, true, false, true, true];
    let asked = 0;
    const idle = (): boolean => {
      asked += 1;
      return answers[(asked - 1) % answers.length] ?? true;
    };
    await profiler.remeasure(idle, AbortSignal.timeout(5_000));
    const runs = engine.diary.filter((line) => line.startsWith('run')).length;
    expect(runs).toBeGreaterThan(3 * 7);
    expect(latencies(profiler)).toEqual([10, 20, 30]);
  });

  test('changes nothing when it is stopped, is under way already, or the power mode changes meanwhile', async () => {
    const { profiler, engine } = await profilerOf();
    const abort = new AbortController();
    const stopped = profiler.remeasure(() => {
      if (engine.isWarm(2)) abort.abort(new Error('shutting down'));
      return true;
    }, abort.signal);
    const second = profiler.remeasure(() => true, AbortSignal.timeout(5_000));
    await expect(second).rejects.toMatchObject({ code: 'conflict' });
    await expect(stopped).rejects.toThrow('shutting down');
    expect(engine.isWarm(2)).toBe(false);
    expect(latencies(profiler)).toEqual([1, 2, 3]);

    let reads = 0;
    const readFacts = async (): Promise<ProfileFacts> => {
      reads += 1;
      return { ...facts, machine: { ...facts.machine, powerMode: `${reads}` } };
    };
    const changing = (await profilerOf({ readFacts })).profiler;
    const changed = changing.remeasure(() => true, AbortSignal.timeout(5_000));
    await expect(changed).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('power mode'),
    });
    expect(latencies(changing)).toEqual([1, 2, 3]);
  });
});
