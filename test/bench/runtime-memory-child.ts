/**
 * A process that loads a large family as the agent does, in its plain or its lean form, and says how long that
 * took and how much memory it holds.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { startEngine } from '../../agent/engine/engine.ts';
import { type LeanModel, prepareLean } from '../../agent/engine/lean.ts';
import { processMemory } from '../../agent/engine/memory.ts';
import { systemClock } from '../../shared/clock.ts';
import { invariant } from '../../shared/errors.ts';
import { LARGE_INPUT, LARGE_OUTPUT, largeFrame, largePoints } from './runtime-memory-family.ts';

/** What is measured. */
export interface LoadTask {
  readonly models: readonly LeanModel[];
  /** Loaded and run before anything is measured. */
  readonly tiny: LeanModel;
  /** Where lean models are made and kept; without it the portable ones are loaded. */
  readonly leanFolder?: string;
}

export interface LoadMeasured {
  /** To make the lean models, or check those that are there. */
  readonly prepareMs: number;
  /** To load every level, in a process that has loaded ONNX Runtime. */
  readonly loadMs: number;
  /** Then, to run each of them once. */
  readonly firstRunsMs: number;
  /** Growth of the proportional set size by that and `RUNS` runs of each level. */
  readonly growthBytes: number;
}

const RUNS = 3;
const PREPARE_TIMEOUT_MS = 300_000;

process.once('message', async (task: LoadTask) => {
  const measured = await measure(task);
  process.send?.(measured);
  process.disconnect();
});

async function measure({ models, tiny, leanFolder }: LoadTask): Promise<LoadMeasured> {
  const startMs = performance.now();
  const lean = leanFolder === undefined ? undefined : await prepared(models, leanFolder);
  const preparedMs = performance.now();
  const frame = largeFrame();
  await using engine = await startEngine({
    points: [...largePoints(models, lean), ...largePoints([tiny])],
    input: LARGE_INPUT,
    output: LARGE_OUTPUT,
    warm: [models.length],
    runTimeoutMs: 60_000,
    clock: systemClock,
    onFallback: rethrow,
    onFatal: (error) => rethrow(0, error),
  });
  await engine.run(models.length, frame);
  await nextTurn();
  globalThis.gc?.();
  const beforeBytes = await processMemory();
  const loadStartMs = performance.now();
  for (const level of models.keys()) await engine.load(level);
  const loadedMs = performance.now();
  for (const level of models.keys()) await engine.run(level, frame);
  const firstRunsMs = performance.now() - loadedMs;
  for (const level of models.keys()) {
    for (let run = 1; run < RUNS; run += 1) await engine.run(level, frame);
  }
  const growthBytes = (await processMemory()) - beforeBytes;
  return { prepareMs: preparedMs - startMs, loadMs: loadedMs - loadStartMs, firstRunsMs, growthBytes };
}

async function prepared(models: readonly LeanModel[], folder: string): Promise<ReadonlyMap<string, string>> {
  const lean = await prepareLean({ models, folder, timeoutMs: PREPARE_TIMEOUT_MS, clock: systemClock });
  invariant(
    lean.size === models.length,
    `each of ${models.length} models has a lean form, found ${lean.size}`,
  );
  return lean;
}

function rethrow(_: number, error: Error): never {
  throw error;
}
