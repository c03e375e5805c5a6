import type { Requirement } from '../../../shared/protocol/requirement.ts';
import type { Profile } from '../points.ts';
import type { Observation } from '../policy.ts';
import { afterJump, afterMove, type Climbing } from './climbing.ts';
import { correctionOf, followCorrection, shareOfJump } from './corrections.ts';
import { newElement, observeElement, withoutShift } from './element.ts';
import type { Jump } from './load.ts';
import type { Last, ManagerState } from './state.ts';
import {
  costsOf,
  observeEnergy,
  observeInferenceEnergy,
  observeTemperature,
  priced,
  type Surcharge,
  underLimits,
} from './surcharge.ts';

/** Learns from what happened. What is not a number, or no time, changes nothing. */
export function observe(state: ManagerState, seen: Observation, profile: Profile): ManagerState {
  switch (seen.kind) {
    case 'energy': {
      const { energyJ, overMs, nowMs } = seen;
      return { ...state, surcharge: observeEnergy(state.surcharge, energyJ, overMs, nowMs) };
    }
    case 'temperature':
      return { ...state, surcharge: observeTemperature(state.surcharge, seen.tempC, seen.nowMs) };
    case 'inference':
      return observeInference(state, seen, profile);
  }
}

type Inference = Extract<Observation, { kind: 'inference' }>;

function observeInference(state: ManagerState, seen: Inference, profile: Profile): ManagerState {
  const { point, startedMs, nowMs, budgetMs, requirement, latencyMs } = seen;
  const of = profile[point];
  if (of === undefined || !Number.isFinite(startedMs) || !Number.isFinite(nowMs)) return state;
  const last: Last = { point, pe: of.pe, budgetMs, requirement };
  const moved: ManagerState = {
    ...state,
    last,
    climbing: climbingAfter(state, seen, profile),
    surcharge: surchargeAfter(state.surcharge, seen, profile),
  };
  const x = Math.log(latencyMs / of.latencyMs) - correctionOf(state.corrections, point);
  if (!Number.isFinite(x)) return moved;
  const element = state.elements.get(of.pe) ?? newElement();
  const after = observeElement(element, x, startedMs);
  const residual = after.isSettled ? x - element.load.regime.mean : undefined;
  const shift = after.jump === undefined ? 0 : shiftOf(state, moved, after.jump);
  const elements = new Map(state.elements);
  elements.set(of.pe, shift === 0 ? after.element : withoutShift(after.element, shift));
  return {
    ...moved,
    elements,
    corrections: followCorrection(state.corrections, {
      point,
      switched: state.last?.point !== point,
      isSameElement: state.last?.pe === of.pe,
      residual,
      sigma: element.load.residuals.sigma,
      shift,
    }),
    climbing: after.jump === undefined ? moved.climbing : afterJump(moved.climbing),
  };
}

/** The part of a jump that is the new point's own: when it begins with the first inference since the switch. */
function shiftOf({ last }: ManagerState, moved: ManagerState, jump: Jump): number {
  const isSameElement = last === undefined || last.pe === moved.last?.pe;
  return isSameElement && jump.atMs === moved.climbing.movedMs ? shareOfJump(jump) : 0;
}

function climbingAfter({ climbing, last }: ManagerState, seen: Inference, profile: Profile): Climbing {
  const before = last === undefined ? undefined : profile[last.point];
  const after = profile[seen.point];
  if (last === undefined || before === undefined || after === undefined || last.point === seen.point) {
    return climbing;
  }
  return afterMove(climbing, {
    from: last.point,
    isUp: after.accuracy > before.accuracy,
    atMs: seen.startedMs,
    isForced: !asksTheSame(last, seen),
  });
}

const ASKED = ['missShare', 'accuracyFloor', 'powerW', 'energyJ', 'tempC', 'price', 'priority'] as const;

function asksTheSame(
  a: { readonly budgetMs: number | undefined; readonly requirement: Requirement },
  b: { readonly budgetMs: number | undefined; readonly requirement: Requirement },
): boolean {
  return a.budgetMs === b.budgetMs && ASKED.every((field) => a.requirement[field] === b.requirement[field]);
}

/** Queues and prices after an inference; here, because a decision only looks at the state. */
function surchargeAfter(
  surcharge: Surcharge,
  { point, requirement, nowMs }: Inference,
  profile: Profile,
): Surcharge {
  const limited = underLimits(surcharge, requirement, nowMs);
  const isCounted = requirement.energyJ !== undefined;
  const used = isCounted ? observeInferenceEnergy(limited, costsOf(profile)[point] ?? 0, nowMs) : limited;
  return priced(used, nowMs, profile);
}
