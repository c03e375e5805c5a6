import type { Profile } from '../runtime/points.ts';
import { pointDecision } from '../runtime/policies/situation.ts';
import type { RunningPolicy } from '../runtime/policy.ts';
import { oracleOf } from './oracles.ts';
import { arrivalOf, type Trace } from './trace.ts';

/** How the line can stand before a frame: when it is free, and what was gained by then. */
interface Stand {
  readonly freeMs: number;
  /** Sum of the accuracies delivered so far. */
  readonly gained: number;
  readonly before: Stand | undefined;
  /** What was done with the frame before; undefined when it was shed. */
  readonly point: number | undefined;
}

/** Stands that are kept at a frame; with more, the line's state is rounded. */
const MAX_STANDS = 512;
/** Of all frames together: a long trace must not fill the memory. */
const MAX_STANDS_OF_TRACE = 4_000_000;
/** Sums in another order differ by less. */
const ROUNDING = 1e-9;

/** The best plan for a whole trace. */
export interface QueuePlan {
  /** Of each frame the point that runs; undefined where it is shed. */
  readonly points: readonly (number | undefined)[];
  /** Accuracy delivered in total, over the number of frames. */
  readonly goodput: number;
  /** Whether no other plan delivers more; false where stands had to be rounded away. */
  readonly exact: boolean;
}

export interface QueuePlanOptions {
  readonly profile: Profile;
  /** From arrival to the latest useful answer, milliseconds. */
  readonly budgetMs: number;
}

/**
 * The most accuracy that can be delivered over a whole trace when all latencies are known beforehand: dynamic
 * programming over the time at which the line is free, shedding included. That time is not rounded: of all ways
 * to stand before a frame those are kept that no other one beats in both freedom and gain. Where more than
 * `MAX_STANDS` remain (deadlines of many periods), of those that are free within the same 1/512 of their range
 * only the first free is kept; then the plan can fall short by what one such cell holds, and says so.
 */
export function planQueue(trace: Trace, options: QueuePlanOptions): QueuePlan {
  const frames = trace.latencyMs.length;
  const most = Math.max(16, Math.min(MAX_STANDS, Math.floor(MAX_STANDS_OF_TRACE / frames)));
  let stands: readonly Stand[] = [
    { freeMs: Number.NEGATIVE_INFINITY, gained: 0, before: undefined, point: undefined },
  ];
  let exact = true;
  for (const frame of trace.latencyMs.keys()) {
    const nextMs = frame + 1 < frames ? arrivalOf(trace, frame + 1) : Number.POSITIVE_INFINITY;
    const reached = stands.flatMap((stand) => stepsFrom(stand, { trace, frame, nextMs, ...options }));
    const best = unbeaten(reached);
    exact &&= best.length <= most;
    stands = best.length <= most ? best : thinned(best, most);
  }
  const last = stands.at(-1);
  return { points: pathTo(last).slice(1), goodput: (last?.gained ?? 0) / frames, exact };
}

/** The plan as a policy, to be run over the same trace with the same budget and no frame dropped for it. */
export function queueOracle(trace: Trace, options: QueuePlanOptions): RunningPolicy {
  const { points } = planQueue(trace, options);
  return oracleOf('oracle-queue', trace, (frame, situation, profile) =>
    pointDecision({ situation, profile, point: points[frame] }),
  );
}

interface Step extends QueuePlanOptions {
  readonly trace: Trace;
  readonly frame: number;
  /** When the next frame arrives: a line that is free before is just free. */
  readonly nextMs: number;
}

/** Shedding, and every point that answers in time: a late answer is worth no more than none, and takes time. */
function stepsFrom(stand: Stand, { trace, frame, nextMs, profile, budgetMs }: Step): Stand[] {
  const arrivedMs = arrivalOf(trace, frame);
  const startMs = Math.max(arrivedMs, stand.freeMs);
  const freeAt = (endMs: number): number => Math.max(endMs, nextMs);
  const steps: Stand[] = [
    { freeMs: freeAt(stand.freeMs), gained: stand.gained, before: stand, point: undefined },
  ];
  for (const [point, { accuracy }] of profile.entries()) {
    const endMs = startMs + (trace.latencyMs[frame]?.[point] ?? Number.NaN);
    if (!(endMs - arrivedMs <= budgetMs)) continue;
    steps.push({ freeMs: freeAt(endMs), gained: stand.gained + accuracy, before: stand, point });
  }
  return steps;
}

/** Those that no other one beats, the first free first. */
function unbeaten(stands: Stand[]): Stand[] {
  stands.sort((a, b) => a.freeMs - b.freeMs || b.gained - a.gained);
  let most = Number.NEGATIVE_INFINITY;
  return stands.filter(({ gained }) => {
    const better = gained > most + ROUNDING;
    if (better) most = gained;
    return better;
  });
}

function thinned(stands: readonly Stand[], cells: number): Stand[] {
  const [first = 0, last = 0] = [stands[0]?.freeMs, stands.at(-1)?.freeMs];
  const cellOf = ({ freeMs }: Stand): number => Math.floor(((freeMs - first) / (last - first)) * (cells - 1));
  return stands.filter((stand, index) => {
    const before = stands[index - 1];
    return before === undefined || cellOf(before) !== cellOf(stand);
  });
}

function pathTo(last: Stand | undefined): (number | undefined)[] {
  const points: (number | undefined)[] = [];
  for (let stand = last; stand !== undefined; stand = stand.before) points.push(stand.point);
  return points.reverse();
}
