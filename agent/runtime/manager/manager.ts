import type { Policy, PolicyView } from '../policy.ts';
import { decide } from './decide.ts';
import { observe } from './observe.ts';
import { initialState, type ManagerState } from './state.ts';
import { fullPrice } from './surcharge.ts';

/**
 * The runtime manager of ofa-fleet: predicts every operating point's latency as profile x slowdown x
 * correction with the measured noise, keeps those that meet the limits, and takes the one of the largest
 * expected accuracy less price x energy.
 */
export const ofaManager: Policy<ManagerState> = { name: 'ofa', initial: initialState, decide, observe, view };

function view({ elements, last, surcharge }: ManagerState): PolicyView {
  const element = last === undefined ? undefined : elements.get(last.pe);
  return {
    slowdown: Math.exp(element?.load.regime.mean ?? 0),
    current: last?.point,
    price: (last?.requirement.price ?? 0) + fullPrice(surcharge),
  };
}
