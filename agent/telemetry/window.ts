import type { ProcessingElement, WindowBody } from '../../shared/protocol/window.ts';
import { type AuditSeen, createPointGatherer, type InferenceSeen, type PointGatherer } from './point.ts';

type CountName = 'switches' | 'skipped' | 'unreadable' | 'failed' | 'sheds';

/** What a window says that is not gathered here: of the device, and of the moment at which it ends. */
export type WindowRest = Omit<WindowBody, 'points' | CountName>;

const NO_COUNTS: Readonly<Record<CountName, number>> = {
  switches: 0,
  skipped: 0,
  unreadable: 0,
  failed: 0,
  sheds: 0,
};

/** Gathers what happens until `take` closes the window and begins the next. Memory is bounded by the number of operating points. */
export interface WindowGatherer {
  inference(seen: InferenceSeen): void;
  audited(seen: AuditSeen): void;
  count(name: CountName, by?: number): void;
  /** @param nowMs monotonic time at which the window ends */
  take(rest: WindowRest, nowMs: number): WindowBody;
  /** The family of the operating point in use serves no more: its time counts no further. */
  familyLeft(): void;
}

/** Makes an empty gatherer. */
export function createWindowGatherer(): WindowGatherer {
  let points = new Map<string, PointGatherer>();
  let counts = { ...NO_COUNTS };
  /** The operating point in use, and from when on its time has not been counted yet. */
  let inUse: { readonly pe: ProcessingElement; readonly level: number } | undefined;
  let sinceMs = Number.NEGATIVE_INFINITY;

  const pointOf = (pe: ProcessingElement, level: number): PointGatherer => {
    const key = `${pe}/${level}`;
    const point = points.get(key) ?? createPointGatherer(pe, level);
    points.set(key, point);
    return point;
  };
  const countTime = (nowMs: number): void => {
    if (inUse !== undefined && nowMs > sinceMs) pointOf(inUse.pe, inUse.level).used(nowMs - sinceMs);
    sinceMs = Math.max(sinceMs, nowMs);
  };
  return {
    inference: (seen) => {
      const { pe, level, nowMs, runMs } = seen;
      if (inUse?.pe !== pe || inUse.level !== level) {
        // It has been in use since its first run began.
        countTime(nowMs - runMs);
        inUse = { pe, level };
      }
      pointOf(pe, level).inference(seen);
    },
    audited: ({ pe, level, agreed }) => pointOf(pe, level).audited(agreed),
    count: (name, by = 1) => {
      counts[name] += by;
    },
    take: (rest, nowMs) => {
      countTime(nowMs);
      const body = { ...rest, ...counts, points: [...points.values()].map((point) => point.window()) };
      points = new Map();
      counts = { ...NO_COUNTS };
      return body;
    },
    familyLeft: () => {
      inUse = undefined;
    },
  };
}
