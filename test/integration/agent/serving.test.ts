import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openQuarantine, type Quarantine } from '../../../agent/quarantine/quarantine.ts';
import type { Serving } from '../../../agent/service/load-family.ts';
import { bringIntoService, type ServingDeps } from '../../../agent/serving.ts';
import { systemClock } from '../../../shared/clock.ts';
import { onnxRuntimeVersion } from '../../../shared/onnx.ts';
import { stateFolder } from '../../support/agent.ts';
import { configOf, type TestLevel, writeFamily } from '../../support/engine-family.ts';

const FRAME = new Uint8Array(28 * 28).fill(7);
const MACHINE = { deviceModel: 'test', powerMode: '15W', clocks: 'fixed' };

interface Bench extends AsyncDisposable {
  readonly stateDir: string;
  readonly family: string;
  readonly quarantine: Quarantine;
  /** Brings the family into service, shows it to `use`, and takes it out again. */
  serve<T>(use: (serving: Serving) => T | Promise<T>, change?: Partial<ServingDeps>): Promise<T>;
}

async function benchOf(levels: readonly TestLevel[]): Promise<Bench> {
  const folder = await stateFolder();
  const family = join(folder.path, 'offered');
  const stateDir = folder.path;
  await writeFamily(family, levels);
  const database = folder.open();
  return {
    stateDir,
    family,
    quarantine: openQuarantine({ database, now: () => 1, runtime: onnxRuntimeVersion() }),
    serve: async (use, change = {}) => {
      await using stack = new AsyncDisposableStack();
      const deps: ServingDeps = {
        config: configOf(stateDir, family),
        database,
        clock: systemClock,
        onFatal: (error) => {
          throw error;
        },
        machine: async () => MACHINE,
        profiling: { rounds: 4, threadRounds: 2, periodMs: 1 },
      };
      return await use(await bringIntoService({ ...deps, ...change }, stack));
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const sourceOf = (serving: Serving): string => serving.profiler.info().source;

test('both processing elements are profiled and served, each with threads of its own, and kept for the next start', async () => {
  await using bench = await benchOf([{}, { work: 1 }]);
  const elements = [
    { pe: 'cpu', providers: ['cpu'], threads: [1] },
    { pe: 'gpu', providers: ['cpu'], threads: [2] },
  ] as const;
  const first = await bench.serve(
    async (serving) => {
      const points = serving.points.map(({ pe, level, threads }) => [pe, level, threads]);
      expect(points).toEqual([
        ['cpu', 0, 1],
        ['cpu', 1, 1],
        ['gpu', 0, 2],
        ['gpu', 1, 2],
      ]);
      expect(serving.profile.map(({ pe, level }) => [pe, level])).toEqual(
        points.map(([pe, level]) => [pe, level]),
      );
      for (const point of serving.points.keys()) {
        expect(serving.engine.isWarm(point)).toBe(true);
        expect((await serving.engine.run(point, FRAME)).logits).toHaveLength(10);
      }
      expect(sourceOf(serving)).toBe('measured');
      return serving.profiler.info().points;
    },
    { elements },
  );
  // A model with 0.3 GFLOP more is slower, wherever it runs.
  const [a = 0, b = 0, c = 0, d = 0] = first.map(({ latency }) => latency.medianMs);
  expect(b).toBeGreaterThan(a);
  expect(d).toBeGreaterThan(c);

  await bench.serve(
    (serving) => {
      expect(sourceOf(serving)).toBe('stored');
      expect(serving.profiler.info().points).toEqual(first);
    },
    { elements },
  );
  // Another power mode is measured by itself, and does not take the place of the first one.
  const machine = async () => ({ ...MACHINE, powerMode: 'MAXN' });
  await bench.serve((serving) => expect(sourceOf(serving)).toBe('measured'), { elements, machine });
  await bench.serve((serving) => expect(sourceOf(serving)).toBe('stored'), { elements });
});

test('a level that cannot be loaded or does not fit the family is left out with its reason, the others serve', async () => {
  await using bench = await benchOf([{}, 'broken', { notFinite: true }, { work: 1 }]);
  await bench.serve(async (serving) => {
    const { logits } = await serving.engine.run(1, FRAME);
    expect(logits.every(Number.isFinite)).toBe(true);
    expect(serving.profile.map(({ level, accuracy }) => [level, accuracy])).toEqual([
      [0, 0.5],
      [3, 0.53],
    ]);
    expect(serving.leftOut).toMatchObject([
      { pe: 'cpu', level: 1, reason: expect.stringContaining('cannot be loaded') },
      { pe: 'cpu', level: 2, reason: expect.stringContaining('not finite') },
    ]);
    expect(serving.quarantined).toEqual([]);
  });
});

test('a family none of whose levels can be used is refused', async () => {
  await using bench = await benchOf(['broken']);
  await expect(bench.serve(() => undefined)).rejects.toMatchObject({
    code: 'invalid',
    message: expect.stringContaining('cannot be loaded'),
  });
});

test('a quarantined level is told and left out, and with the last one the family is refused until it is let out', async () => {
  await using bench = await benchOf([{}, { work: 1 }]);
  const points = await bench.serve((serving) => serving.points);
  const [cheap, dear] = points;
  if (cheap === undefined || dear === undefined) throw new Error('two levels, two points');
  bench.quarantine.put(cheap, 'it crashed');
  await bench.serve((serving) => {
    expect(serving.quarantined).toEqual([{ pe: 'cpu', level: 0, reason: 'it crashed', sinceTs: 1 }]);
    expect(serving.profile.map(({ level }) => level)).toEqual([1]);
    // The profile of all levels holds for the rest as well, where the rest is run in the same form.
    expect(serving.points[0]?.sha256).toBe(dear.sha256);
  });
  bench.quarantine.put(dear, 'it crashed too');
  await expect(bench.serve(() => undefined)).rejects.toThrow(/every level is quarantined; it crashed/);
  expect(bench.quarantine.clear()).toBe(2);
  await bench.serve((serving) => expect(serving.profile).toHaveLength(2));
});

test('within a memory budget only what fits is loaded, and a profile is measured again while frames come', async () => {
  await using bench = await benchOf([{}, { work: 1 }]);
  const config = configOf(bench.stateDir, bench.family);
  const change = { config: { ...config, engine: { ...config.engine, memoryBytes: 1 } } };
  const again = await bench.serve(async (serving) => {
    const isWarm = (): boolean[] => [...serving.points.keys()].map((point) => serving.engine.isWarm(point));
    expect(isWarm().filter(Boolean)).toHaveLength(1);
    const before = { warm: isWarm(), info: serving.profiler.info() };
    let asked = 0;
    const idle = (): boolean => {
      asked += 1;
      return asked % 5 !== 0;
    };
    const info = await serving.profiler.remeasure(idle, AbortSignal.timeout(30_000));
    expect(isWarm()).toEqual(before.warm);
    expect(info.points.map(({ memoryBytes }) => memoryBytes)).toEqual(
      before.info.points.map(({ memoryBytes }) => memoryBytes),
    );
    expect(serving.profiler.profile().map(({ latencyMs }) => latencyMs)).toEqual(
      info.points.map(({ latency }) => latency.medianMs),
    );
    return info.points;
  }, change);
  await bench.serve((serving) => expect(serving.profiler.info().points).toEqual(again), change);
});
