import { ofaManager } from '../../agent/runtime/manager/manager.ts';
import type { ManagerState } from '../../agent/runtime/manager/state.ts';
import type { OperatingPoint, Profile } from '../../agent/runtime/points.ts';
import type { Decision, Observation } from '../../agent/runtime/policy.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import { seededRandom } from '../../shared/random.ts';

/** A profile from rows of milliseconds, top-1 and joules. */
export function profileOf(
  rows: readonly (readonly [number, number, number?])[],
  pe: OperatingPoint['pe'] = 'gpu',
): Profile {
  return rows.map(([latencyMs, accuracy, energyJ], level) => ({
    pe,
    level,
    accuracy,
    latencyMs,
    ...(energyJ === undefined ? {} : { energyJ }),
  }));
}

/** Six levels of a family for a GPU, as published. */
export const GPU_PROFILE = profileOf([
  [41.16, 0.74202],
  [45.42, 0.74968],
  [49.44, 0.76134],
  [51.08, 0.7754],
  [56.75, 0.78346],
  [61.73, 0.7903],
]);
/** Seven levels of a family for a CPU, as published. */
export const CPU_PROFILE = profileOf(
  [
    [500, 0.725],
    [680, 0.763],
    [875, 0.771],
    [1170, 0.774],
    [1560, 0.781],
    [1640, 0.784],
    [1860, 0.785],
  ],
  'cpu',
);

/** One frame as it went. */
export interface RunFrame {
  readonly atMs: number;
  readonly point: number | undefined;
  readonly latencyMs: number;
  readonly met: boolean;
  readonly decision: Decision;
}

export interface ManagerRun {
  readonly profile?: Profile;
  readonly requirement?: Requirement | ((frame: number) => Requirement);
  readonly frames: number;
  /** Between two frames; also their deadline where the requirement states none. */
  readonly periodMs?: number;
  /** Latency as a multiple of the profile, without noise. */
  readonly load?: (atMs: number, point: OperatingPoint) => number;
  /** Standard deviation of the logarithm of normal noise. */
  readonly sigma?: number;
  /** Other noise, as a logarithm. */
  readonly noise?: () => number;
  readonly seed?: number;
  /** What sensors say after a frame. */
  readonly sensed?: (frame: RunFrame) => readonly Observation[];
}

/** Runs the manager over simulated frames, first in first out. */
export function runManager(run: ManagerRun): RunFrame[] {
  const { profile = GPU_PROFILE, periodMs = 66.7, sigma = 0, load = () => 1 } = run;
  const random = seededRandom(run.seed ?? 1);
  const noise = run.noise ?? (() => sigma * random.normal());
  const frames: RunFrame[] = [];
  let state: ManagerState = ofaManager.initial(profile);
  let freeMs = 0;
  for (let frame = 0; frame < run.frames; frame += 1) {
    const stated = typeof run.requirement === 'function' ? run.requirement(frame) : run.requirement;
    const requirement = { latencyMs: periodMs, ...stated };
    const arrivedMs = frame * periodMs;
    const atMs = Math.max(arrivedMs, freeMs);
    const decision = ofaManager.decide(state, { requirement, nowMs: atMs, arrivedMs }, profile);
    const point = decision.point === undefined ? undefined : profile[decision.point];
    const luck = Math.exp(noise());
    const latencyMs = point === undefined ? 0 : point.latencyMs * load(atMs, point) * luck;
    freeMs = atMs + latencyMs;
    const met = point !== undefined && freeMs - arrivedMs <= requirement.latencyMs;
    const outcome: RunFrame = { atMs, point: decision.point, latencyMs, met, decision };
    frames.push(outcome);
    const seen: Observation[] = [...(run.sensed?.(outcome) ?? [])];
    if (decision.point !== undefined) {
      const times = { latencyMs, startedMs: atMs, nowMs: freeMs, budgetMs: requirement.latencyMs };
      seen.unshift({ kind: 'inference', point: decision.point, ...times, requirement });
    }
    state = seen.reduce((before, one) => ofaManager.observe(before, one, profile), state);
  }
  return frames;
}

/** Share of frames that were late or shed. */
export function missedIn(frames: readonly RunFrame[]): number {
  return frames.filter(({ met }) => !met).length / frames.length;
}

export function switchesIn(frames: readonly RunFrame[]): number {
  const points = frames.flatMap(({ point }) => point ?? []);
  return points.filter((point, index) => index > 0 && point !== points[index - 1]).length;
}

/** Mean of a figure of the points that were used. */
export function meanOf(
  frames: readonly RunFrame[],
  profile: Profile,
  figure: (point: OperatingPoint) => number,
): number {
  const used = frames.flatMap(({ point }) => profile[point ?? -1] ?? []);
  return used.reduce((sum, point) => sum + figure(point), 0) / used.length;
}
