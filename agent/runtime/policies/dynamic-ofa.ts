import { mean } from '../../../shared/statistics.ts';
import type { Profile } from '../points.ts';
import type { Policy, Situation } from '../policy.ts';
import {
  budgetMsOf,
  type Choice,
  type InferenceSeen,
  mostAccurate,
  pointDecision,
  usableLadder,
} from './situation.ts';

/** Of so many latencies the demonstration takes the mean; it warms up over as many. */
const WINDOW = 20;
/** What a switch cost on the Jetson Xavier NX of Figure 7: 579 and 572 ms without a frame. */
const DEAD_TIME_MS = 570;
/** The repaired one climbs when the mean would stay under this share of the budget: noise must not bring it back. */
const CLIMB_UNDER = 0.97;

export interface DynamicOfaState {
  /** Index of the point in use; undefined before the first frame. */
  readonly level: number | undefined;
  /** Of the last inferences at this point, the newest last. */
  readonly latenciesMs: readonly number[];
  /** The level that was left last: it is not gone back to. */
  readonly left: number | undefined;
  /** Until then nothing that is measured counts. */
  readonly deadUntilMs: number;
}

const INITIAL: DynamicOfaState = {
  level: undefined,
  latenciesMs: [],
  left: undefined,
  deadUntilMs: Number.NEGATIVE_INFINITY,
};

type Step = (state: DynamicOfaState, situation: Situation, ladder: readonly Choice[]) => Choice | undefined;

/**
 * The runtime manager of the Dynamic-OFA demonstration (Lou et al., CVPR-W 2021; as its published program does
 * it). It starts at the most accurate level. Once 20 images have run at a level, and their mean latency exceeds
 * the budget, it goes one level down; one level up only when the level's accuracy is under the accuracy floor,
 * never because resources came free. It remembers the level before, and does not go straight back to it. A
 * switch takes 0.57 s, in which nothing is measured. Energy is not looked at, waiting neither. (The program also
 * passes over single latencies above 90 ms, a number for its one device, which is left out here.)
 */
export const dynamicOfa: Policy<DynamicOfaState> = steppingPolicy({
  name: 'dynamic-ofa',
  deadTimeMs: DEAD_TIME_MS,
  step: publishedStep,
});

/**
 * The same, repaired: it also goes one level up when the mean latency, scaled by the profile, would fit there;
 * a switch costs no time, and every level may be gone back to.
 */
export const dynamicOfaRepaired: Policy<DynamicOfaState> = steppingPolicy({
  name: 'dynamic-ofa-repaired',
  deadTimeMs: 0,
  step: repairedStep,
});

function publishedStep(state: DynamicOfaState, situation: Situation, ladder: readonly Choice[]) {
  const at = ladder.findIndex(({ point }) => point === state.level);
  const level = ladder[at];
  const meanMs = mean(state.latenciesMs);
  const floor = situation.requirement.accuracyFloor ?? 0;
  const next =
    meanMs > budgetMsOf(situation)
      ? ladder[at - 1]
      : (level?.accuracy ?? 1) < floor
        ? ladder[at + 1]
        : undefined;
  return next?.point === state.left ? undefined : next;
}

function repairedStep(state: DynamicOfaState, situation: Situation, ladder: readonly Choice[]) {
  const at = ladder.findIndex(({ point }) => point === state.level);
  const [below, level, above] = [ladder[at - 1], ladder[at], ladder[at + 1]];
  const meanMs = mean(state.latenciesMs);
  const floor = situation.requirement.accuracyFloor ?? 0;
  if (meanMs > budgetMsOf(situation))
    return below !== undefined && below.accuracy >= floor ? below : undefined;
  if (level === undefined || above === undefined) return undefined;
  const fits = (meanMs * above.latencyMs) / level.latencyMs <= budgetMsOf(situation) * CLIMB_UNDER;
  return fits || level.accuracy < floor ? above : undefined;
}

function steppingPolicy(of: {
  readonly name: string;
  readonly deadTimeMs: number;
  readonly step: Step;
}): Policy<DynamicOfaState> {
  const chosen = (state: DynamicOfaState, situation: Situation, profile: Profile): number | undefined => {
    const ladder = usableLadder(profile, situation.usable);
    const level = ladder.find(({ point }) => point === state.level);
    if (level === undefined) return startOf(state, ladder, profile)?.point;
    if (state.latenciesMs.length < WINDOW) return level.point;
    const next = of.step(state, situation, ladder);
    return (next ?? level).point;
  };
  return {
    name: of.name,
    initial: () => INITIAL,
    decide: (state, situation, profile) => {
      const point = chosen(state, situation, profile);
      const slowdown = slowdownOf(state, profile);
      return pointDecision({ situation, profile, point, slowdown });
    },
    observe: (state, seen) => (seen.kind === 'inference' ? observed(state, seen, of.deadTimeMs) : state),
    view: ({ level }) => ({ slowdown: 1, current: level, price: 0 }),
  };
}

/** The most accurate, or what is next under a level that cannot run any more. */
function startOf(
  { level }: DynamicOfaState,
  ladder: readonly Choice[],
  profile: Profile,
): Choice | undefined {
  const lost = level === undefined ? undefined : profile[level];
  if (lost === undefined) return mostAccurate(ladder);
  return ladder.findLast(({ latencyMs }) => latencyMs <= lost.latencyMs) ?? ladder[0];
}

function observed(state: DynamicOfaState, seen: InferenceSeen, deadTimeMs: number): DynamicOfaState {
  const { point, latencyMs, startedMs } = seen;
  const switched = state.level !== undefined && point !== state.level;
  const deadUntilMs = switched ? startedMs + deadTimeMs : state.deadUntilMs;
  const before = point === state.level ? state.latenciesMs : [];
  const counts = startedMs >= deadUntilMs && Number.isFinite(latencyMs);
  return {
    level: point,
    latenciesMs: counts ? [...before, latencyMs].slice(-WINDOW) : before,
    left: switched ? state.level : state.left,
    deadUntilMs,
  };
}

function slowdownOf({ level, latenciesMs }: DynamicOfaState, profile: Profile): number {
  const profiled = level === undefined ? undefined : profile[level];
  return profiled === undefined || latenciesMs.length === 0 ? 1 : mean(latenciesMs) / profiled.latencyMs;
}
