import { AppError } from '../../shared/errors.ts';
import type { Family } from '../../shared/family/read.ts';
import type { Random } from '../../shared/random.ts';
import type { FamilyHost } from '../service/family-host.ts';
import type { PreparedFamily } from '../service/prepared.ts';
import { choosePoint, drawnPoints } from './drawn-levels.ts';

export interface DrawnHostDeps {
  readonly first: Family;
  readonly random: Random;
  /** The family that serves is about to be another one. */
  readonly onLeaving: () => void;
  readonly onActivated: (family: Family) => void;
}

/** How often two families give the same answer, on average: as two versions of the same one do. */
const EQUAL_SHARE = 0.97;
const RESOLUTION = 2 ** 20;

/** A host of families that runs none of them: each is fit, ready at once, and nearly of the other's opinion. */
export function createDrawnHost({ first, random, onLeaving, onActivated }: DrawnHostDeps): FamilyHost {
  let serving = first;
  let isTaken = false;
  const isEqual = (): boolean => random.below(RESOLUTION) / RESOLUTION < EQUAL_SHARE;
  const prepared = (family: Family): PreparedFamily => {
    let isOver = false;
    const end = (): void => {
      if (!isOver) isTaken = false;
      isOver = true;
    };
    return {
      family,
      costs: async () => ({ latencyMs: bestMs(family), beforeMs: bestMs(serving) }),
      compare: async ({ frames, signal }) => {
        signal.throwIfAborted();
        if (String(family.manifest.labels) !== String(serving.manifest.labels)) return undefined;
        const equal = Array.from({ length: frames }, isEqual).filter(Boolean).length;
        return { frames, share: equal / frames };
      },
      activate: async () => {
        if (isOver) throw new AppError('conflict', `${family.manifest.name}: it was activated or released`);
        onLeaving();
        serving = family;
        end();
        onActivated(family);
      },
      [Symbol.asyncDispose]: async () => end(),
    };
  };
  return {
    serving: () => serving,
    prepare: async (family, signal) => {
      signal.throwIfAborted();
      if (isTaken) throw new AppError('conflict', 'another family is being prepared');
      isTaken = true;
      return prepared(family);
    },
  };
}

/** Of the most accurate level. */
function bestMs({ manifest }: Family): number {
  return choosePoint(drawnPoints(manifest), undefined)?.latencyMs ?? 0;
}
