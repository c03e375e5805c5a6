import { AppError } from '../../shared/errors.ts';
import { median } from '../../shared/statistics.ts';
import type { AwaitIdle } from '../serving-engine.ts';
import { bestLevel, loadBest } from './best-level.ts';
import type { Serving } from './load-family.ts';

/** What the most accurate level of a family takes, and that of the family that serves now, milliseconds. */
export interface Costs {
  readonly latencyMs: number;
  readonly beforeMs: number;
}

export interface CostDeps {
  readonly serving: Serving;
  readonly candidate: Serving;
  readonly awaitIdle: AwaitIdle;
  readonly signal: AbortSignal;
}

/** Of each family; the median of so many stands still to a few per cent. */
const ROUNDS = 25;

/**
 * Runs the best levels of two families in turn, in the gaps between frames. Two profiles would not do: each was
 * measured at another time, with other load beside it.
 * @returns medians; undefined when the level of the family that serves is not loaded, or was given up meanwhile
 * @throws what a run of the candidate throws; the signal's reason when it aborts
 */
export async function measureCosts({
  serving,
  candidate,
  awaitIdle,
  signal,
}: CostDeps): Promise<Costs | undefined> {
  const before = bestLevel(serving.profile);
  await using level = await loadBest(candidate);
  const frames = { before: grayFrame(serving), now: grayFrame(candidate) };
  const [nowMs, beforeMs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    signal.throwIfAborted();
    if (!serving.engine.isWarm(before)) return undefined;
    await awaitIdle(serving.profile[before]?.latencyMs ?? 0);
    const runMs = await runOf(serving, before, frames.before);
    if (runMs === undefined) return undefined;
    beforeMs.push(runMs);
    await awaitIdle(candidate.profile[level.index]?.latencyMs ?? 0);
    nowMs.push((await candidate.engine.run(level.index, frames.now)).runMs);
  }
  return { latencyMs: median(nowMs), beforeMs: median(beforeMs) };
}

/** Undefined where frames take all slots, or the level was unloaded: what serves comes first. */
async function runOf({ engine }: Serving, index: number, frame: Uint8Array): Promise<number | undefined> {
  try {
    return (await engine.run(index, frame)).runMs;
  } catch (error) {
    if (error instanceof AppError && error.code === 'conflict') return undefined;
    throw error;
  }
}

function grayFrame({ family }: Serving): Uint8Array {
  const [, height, width, channels] = family.manifest.input.shape;
  return new Uint8Array(height * width * channels).fill(128);
}
