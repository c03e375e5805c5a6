import type { Jump } from './load.ts';

/**
 * A small correction per operating point: by how much its latency differs from profile x slowdown. The slowdown
 * takes in what all points share, so a point's own part shows in the inferences right after a switch to it.
 */
export interface Corrections {
  /** Logarithms by point; 0 where there is none. */
  readonly logs: readonly number[];
  /** Inferences since the point was switched to. */
  readonly since: number;
}

/** What an inference says of its point. */
export interface Telling {
  readonly point: number;
  readonly switched: boolean;
  /** Whether the one before ran on the same processing element: else the slowdown itself is not up to date. */
  readonly isSameElement: boolean;
  /** What the slowdown did not explain, as a logarithm; undefined while the load jumps or may have jumped. */
  readonly residual: number | undefined;
  /** Standard deviation of the noise. */
  readonly sigma: number;
  /** The part of a jump that is the point's own, as a logarithm. */
  readonly shift: number;
}

/** The slowdown has followed after so many inferences; what they say is not the point's own. */
const TELLING = 5;
const GAIN = 0.12;
/** With more noise than this, as a standard deviation, single inferences say less of so small a difference. */
const MUCH_NOISE = 0.02;
/** Inferences after which what is not measured again is forgotten, or bad luck would keep a point out for ever. */
const FORGETS = 2_000;
/** Slowdowns are the same for all levels within 6 to 12 %; a larger difference is a profile that does not fit. */
const LARGEST = 0.2;
/** Of a jump that coincides with a switch. A part, as it may be the load after all, and the next switches tell. */
const OWN = 0.25;

export function noCorrections(): Corrections {
  return { logs: [], since: TELLING };
}

export function correctionOf({ logs }: Corrections, point: number): number {
  return logs[point] ?? 0;
}

/** How much of a jump that began with the first inference of a point is the point's own, as a logarithm. */
export function shareOfJump({ from, to, due }: Jump): number {
  const shift = OWN * (1 - due) * (to - from);
  return Math.abs(to - from) > LARGEST ? 0 : shift;
}

/** Takes an inference in. */
export function followCorrection({ logs, since }: Corrections, seen: Telling): Corrections {
  const { point, switched, isSameElement, residual, sigma, shift } = seen;
  const count = switched ? 0 : since;
  const isTelling = count < TELLING && residual !== undefined && (isSameElement || !switched);
  const gained = isTelling ? GAIN * Math.min(1, (MUCH_NOISE / sigma) ** 2) * residual : 0;
  const kept = switched ? Math.exp(-since / FORGETS) : 1;
  const next = switched && !isSameElement ? TELLING : count + 1;
  if (gained + shift === 0 && kept === 1) return { logs, since: next };
  const changed = Array.from(
    { length: Math.max(logs.length, point + 1) },
    (_, index) => (logs[index] ?? 0) * kept,
  );
  const own = (changed[point] ?? 0) + gained + shift;
  changed[point] = Math.min(LARGEST, Math.max(-LARGEST, own));
  return { logs: changed, since: next };
}
