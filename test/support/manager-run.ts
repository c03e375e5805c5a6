import {
  DEFAULT_MISS_SHARE,
  decide,
  initialState,
  observe,
  type Profile,
} from '../../agent/runtime/manager.ts';

/** Six levels of a family for a GPU, as published: milliseconds, top-1. */
export const GPU_PROFILE: Profile = (
  [
    [41.16, 0.74202],
    [45.42, 0.74968],
    [49.44, 0.76134],
    [51.08, 0.7754],
    [56.75, 0.78346],
    [61.73, 0.7903],
  ] as const
).map(([latencyMs, accuracy], level) => ({ pe: 'gpu', level, latencyMs, accuracy }));

export interface ManagerRun {
  readonly budgetMs: number;
  readonly frames: number;
  /** Standard deviation of the latency's logarithm. */
  readonly sigma?: number;
  readonly missShare?: number;
  readonly seed?: number;
  /** Latency of a frame as a multiple of the profile. */
  readonly load?: (frame: number) => number;
}

const FRAME_MS = 50;

/** Runs the manager over simulated inferences at 20 frames per second; what it chose, and which were late. */
export function runManager(run: ManagerRun): { chosen: number[]; missed: boolean[] } {
  const { sigma = 0, missShare = DEFAULT_MISS_SHARE, load = () => 1 } = run;
  const noise = gaussian(run.seed ?? 1);
  const chosen: number[] = [];
  const missed: boolean[] = [];
  let state = initialState();
  for (let frame = 0; frame < run.frames; frame += 1) {
    const { point } = decide(state, { latencyMs: run.budgetMs, missShare }, GPU_PROFILE);
    const profileMs = GPU_PROFILE[point]?.latencyMs ?? Number.NaN;
    const latencyMs = profileMs * load(frame) * Math.exp(sigma * noise());
    state = observe(state, { point, latencyMs, profileMs, missShare, nowMs: frame * FRAME_MS });
    chosen.push(point);
    missed.push(latencyMs > run.budgetMs);
  }
  return { chosen, missed };
}

export function switchesIn(chosen: readonly number[]): number {
  return chosen.filter((point, index) => index > 0 && point !== chosen[index - 1]).length;
}

/** Normal deviates by Box and Muller, from a small seeded generator (mulberry32). */
function gaussian(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
