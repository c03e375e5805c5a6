import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Engine, type EngineOptions, startEngine } from '../../agent/engine/engine.ts';
import type { PointSpec, TensorSpec } from '../../agent/engine/protocol.ts';
import { systemClock } from '../../shared/clock.ts';
import { createSession, Tensor } from '../../shared/onnx.ts';
import { median, quantile } from '../../shared/statistics.ts';
import { bundledFamily, bundledImages, cpuPoints } from '../support/bundled.ts';
import { writeModel } from '../support/onnx-models.ts';
import { type Bench, type Figure, judged } from './report.ts';

/** The two paths take turns in short blocks, so that what else the machine does hits both alike. */
const BLOCKS = 30;
const RUNS_PER_BLOCK = 200;
/** Of each block, at its beginning: the caches are still the other path's. */
const UNCOUNTED_RUNS = 20;
const OVERHEAD_BAR_US = 150;

/** Frames that come one by one, as from a camera: both threads sleep in between. */
const PACED_BLOCKS = 10;
const PACED_RUNS_PER_BLOCK = 20;
const PACE_MS = 20;

const GAP_BLOCKS = 10;
const GAP_BLOCK_MS = 400;
const GAP_BAR_MS = 5;

const SLOW_RUN_MS = 100;
const SLOW_INPUT: TensorSpec = { name: 'image', shape: [1, 28, 28, 1] };
const SLOW_OUTPUT: TensorSpec = { name: 'logits', shape: [1, 10] };
const FIRST_WORK = 16;

const SERVING: Pick<EngineOptions, 'runTimeoutMs' | 'clock' | 'onFatal'> = {
  runTimeoutMs: 60_000,
  clock: systemClock,
  onFatal: (error) => {
    throw error;
  },
};

type Run = (frame: Uint8Array) => Promise<unknown>;

/** What inference in a worker costs, and what it keeps from the main thread. */
export const engineBench: Bench = {
  summary: 'cost of inference in a worker over a bare session, and how long the main thread stays blocked',
  measure: async () => [...(await overheadFigures()), await mainBlockedFigure()],
};

async function overheadFigures(): Promise<Figure[]> {
  const family = await bundledFamily();
  const { input, output } = family.manifest;
  const points = cpuPoints(family);
  const frames = (await bundledImages(RUNS_PER_BLOCK)).map(({ pixels }) => pixels);
  await using engine = await startEngine({ points, input, output, ...SERVING });
  const compare = async (index: number, timing: Timing): Promise<Comparison> => {
    const bare = await bareRun(points[index], input);
    return await compareRuns((frame) => engine.run(index, frame), bare, timing);
  };
  const dense: Timing = { blocks: BLOCKS, uncounted: UNCOUNTED_RUNS, frames };
  const smallest = await compare(0, dense);
  const paced = await compare(0, {
    blocks: PACED_BLOCKS,
    uncounted: 1,
    frames: frames.slice(0, PACED_RUNS_PER_BLOCK),
    paceMs: PACE_MS,
  });
  const largest = await compare(points.length - 1, dense);
  return [
    judged({
      name: 'overhead_p50_us',
      value: overheadUs(smallest, 0.5),
      unit: 'us',
      better: 'lower',
      bar: OVERHEAD_BAR_US,
    }),
    { name: 'overhead_p99_us', value: overheadUs(smallest, 0.99), unit: 'us', better: 'lower' },
    { name: 'overhead_paced_p50_us', value: overheadUs(paced, 0.5), unit: 'us', better: 'lower' },
    {
      name: 'overhead_ratio_largest',
      value: largest.engineMs(0.5) / largest.bareMs(0.5),
      unit: 'ratio',
      better: 'lower',
    },
  ];
}

/** `session.run` on this thread with the options of the engine. */
async function bareRun(point: PointSpec | undefined, input: TensorSpec): Promise<Run> {
  const session = await createSession(point?.modelPath ?? '', {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  });
  return async (frame) => await session.run({ [input.name]: new Tensor('uint8', frame, input.shape) });
}

/** Quantiles of both paths: of each block its own, then the median over the blocks. */
interface Comparison {
  readonly engineMs: (q: number) => number;
  readonly bareMs: (q: number) => number;
}

function overheadUs({ engineMs, bareMs }: Comparison, q: number): number {
  return 1_000 * (engineMs(q) - bareMs(q));
}

interface Timing {
  readonly blocks: number;
  readonly frames: readonly Uint8Array[];
  /** Runs at the beginning of a block that do not count. */
  readonly uncounted: number;
  /** Pause before every run; without it one follows the other. */
  readonly paceMs?: number;
}

async function compareRuns(engine: Run, bare: Run, timing: Timing): Promise<Comparison> {
  const engineBlocks: number[][] = [];
  const bareBlocks: number[][] = [];
  for (let block = 0; block < timing.blocks; block += 1) {
    engineBlocks.push(await timeBlock(engine, timing));
    bareBlocks.push(await timeBlock(bare, timing));
  }
  const over = (blocks: number[][]) => (q: number) => median(blocks.map((timesMs) => quantile(timesMs, q)));
  return { engineMs: over(engineBlocks), bareMs: over(bareBlocks) };
}

async function timeBlock(run: Run, { frames, uncounted, paceMs }: Timing): Promise<number[]> {
  const timesMs: number[] = [];
  for (const frame of frames) {
    if (paceMs !== undefined) await systemClock.sleep(paceMs);
    const startMs = performance.now();
    await run(frame);
    timesMs.push(performance.now() - startMs);
  }
  return timesMs.slice(uncounted);
}

async function mainBlockedFigure(): Promise<Figure> {
  const folder = await mkdtemp(join(tmpdir(), 'ofa-bench-'));
  try {
    await using engine = await startSlowEngine(join(folder, 'slow.onnx'));
    const frame = new Uint8Array(28 * 28).fill(128);
    const excessMs: number[] = [];
    for (let block = 0; block < GAP_BLOCKS; block += 1) {
      const idle = await longestGapMs();
      const busy = await gapDuringInference(engine, frame);
      excessMs.push(busy - idle);
    }
    return judged({
      name: 'main_blocked_max_ms',
      value: median(excessMs),
      unit: 'ms',
      better: 'lower',
      bar: GAP_BAR_MS,
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A model of at least `SLOW_RUN_MS` a run on this machine: doubled until it is. */
async function startSlowEngine(path: string): Promise<Engine> {
  for (let work = FIRST_WORK; ; work *= 2) {
    await writeModel(path, { work });
    const points: PointSpec[] = [{ pe: 'cpu', level: 0, modelPath: path, threads: 1, providers: ['cpu'] }];
    const engine = await startEngine({ points, input: SLOW_INPUT, output: SLOW_OUTPUT, ...SERVING });
    const { runMs } = await engine.run(0, new Uint8Array(28 * 28));
    if (runMs >= SLOW_RUN_MS) return engine;
    await engine.close();
  }
}

async function gapDuringInference(engine: Engine, frame: Uint8Array): Promise<number> {
  const stop = { now: false };
  const inference = (async () => {
    while (!stop.now) await engine.run(0, frame);
  })();
  const gapMs = await longestGapMs();
  stop.now = true;
  await inference;
  return gapMs;
}

/** The longest time between two turns of this thread's event loop, over one block. */
async function longestGapMs(): Promise<number> {
  const endMs = performance.now() + GAP_BLOCK_MS;
  let longestMs = 0;
  for (let lastMs = performance.now(); lastMs < endMs; ) {
    await nextTurn();
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
  }
  return longestMs;
}
