import { warmSet } from '../engine/admission.ts';
import type { Engine } from '../engine/engine.ts';
import type { IdleTask } from './idle-work.ts';

export interface WarmKeeperDeps {
  readonly engine: Pick<Engine, 'load' | 'unload' | 'isWarm'>;
  /** Memory of each point when it is loaded, bytes. */
  readonly costs: readonly number[];
  /** For all loaded points together; infinite without a budget. */
  readonly budgetBytes: number;
  /** Index of the point of the last inference. */
  readonly current: () => number | undefined;
  /** Whether the level in use is the best of those that are loaded, and may be left for a heavier one. */
  readonly mayClimb: () => boolean;
  /** Whether the device is about to run out of memory. */
  readonly isMemoryShort: () => boolean;
  /** Whether someone else may hold points loaded for a moment, to measure them. */
  readonly isMeasuring: () => boolean;
  /** Another point can be used now, or one no more. */
  readonly onChanged: () => void;
  /** A point cannot be loaded; it is not tried again. */
  readonly onUnloadable: (index: number, error: unknown) => void;
  /** Anything else went wrong. */
  readonly onFailed: (error: unknown) => void;
}

export interface WarmKeeper extends IdleTask {
  /** Whether a point that is loaded is so for a measurement only, and may be gone with the next frame. */
  isBorrowed(point: number): boolean;
}

/** A load blocks the inference thread for about so long. */
const LOAD_MS = 50;
/** Without its neighbours loaded a level cannot be left when it must be: that is worth one late frame. */
const PATIENCE_MS = 1_000;

interface Step {
  readonly deed: 'load' | 'unload';
  readonly point: number;
}

/**
 * Keeps the level in use and its neighbours loaded under a memory budget: one load or unload at a time, in
 * idle time. Lighter ones go first, they are needed in a hurry; but where the budget has no room for neighbours
 * on both sides, a heavier one would never be reached without its turn. When memory runs short only the level
 * in use and the next lighter one stay.
 */
export function createWarmKeeper(deps: WarmKeeperDeps): WarmKeeper {
  const { engine, costs, budgetBytes } = deps;
  const order = [...costs.keys()].sort((a, b) => costOf(costs, a) - costOf(costs, b));
  const own = new Set(order.filter((point) => engine.isWarm(point)));
  const unloadable = new Set<number>();

  const wantedNow = (current: number): readonly number[] => {
    const place = order.indexOf(current);
    const [lighter, heavier] = [order[place - 1], order[place + 1]];
    if (deps.isMemoryShort()) return lighter === undefined ? [current] : [current, lighter];
    const isHeavierFirst = heavier !== undefined && deps.mayClimb();
    const leftBytes = budgetBytes - (isHeavierFirst ? costOf(costs, heavier) : 0);
    if (!isHeavierFirst || leftBytes < costOf(costs, current)) {
      return warmSet({ costs, budgetBytes, current, order });
    }
    const others = order.filter((point) => point !== heavier);
    return [heavier, ...warmSet({ costs, budgetBytes: leftBytes, current, order: others })];
  };
  const fits = (point: number): boolean => {
    const loaded = order.filter((other) => engine.isWarm(other));
    const bytes = loaded.reduce((sum, other) => sum + costOf(costs, other), costOf(costs, point));
    return bytes <= budgetBytes;
  };
  const isBorrowed = (point: number): boolean => deps.isMeasuring() && !own.has(point);
  const step = (): Step | undefined => {
    const current = deps.current();
    if (current === undefined) return undefined;
    const wanted = wantedNow(current);
    // First out, then in: the budget holds at every moment. What is measured is given up by who loaded it.
    const out = order.findLast(
      (point) => engine.isWarm(point) && !wanted.includes(point) && !isBorrowed(point),
    );
    if (out !== undefined) return { deed: 'unload', point: out };
    const next = wanted.find((point) => !engine.isWarm(point) && !unloadable.has(point));
    return next === undefined || !fits(next) ? undefined : { deed: 'load', point: next };
  };
  const load = async (point: number): Promise<void> => {
    own.add(point);
    try {
      await engine.load(point);
    } catch (error) {
      own.delete(point);
      unloadable.add(point);
      deps.onUnloadable(point, error);
    }
  };
  return {
    isBorrowed,
    patienceMs: PATIENCE_MS,
    wantsMs: () => (step() === undefined ? undefined : LOAD_MS),
    run: async () => {
      const next = step();
      if (next === undefined) return;
      if (next.deed === 'load') await load(next.point);
      else {
        own.delete(next.point);
        await engine.unload(next.point);
      }
      deps.onChanged();
    },
    onFailed: deps.onFailed,
  };
}

function costOf(costs: readonly number[], point: number): number {
  return costs[point] ?? Number.POSITIVE_INFINITY;
}
