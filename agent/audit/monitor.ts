import { type Baseline, baselineOf, learnt, NO_REFERENCE, type Reference } from './baseline.ts';
import { added, EMPTY, type Histogram, ksDistance, meanOf, merged } from './histogram.ts';

/** How often and how surely the confidences of a level are looked at. */
export interface MonitorLimits {
  /** Confidences that a reference is learnt from. */
  readonly referenceCount: number;
  /** Confidences of a window that is compared with the reference. */
  readonly windowCount: number;
  /** Probability of a false alarm of each test in `horizonWindows` windows of this level. */
  readonly falseAlarm: number;
  readonly horizonWindows: number;
}

/** Watches the confidences of one level. */
export interface Monitor {
  /** What is being learnt, until there is a baseline; then what the baseline was made of. */
  readonly reference: Reference;
  readonly baseline: Baseline | undefined;
  readonly window: Histogram;
  /** Windows together, up to ten: for what is too small for one to show. */
  readonly long: Histogram;
  /** Page-Hinkley: how far the sum of falls of the confidence lies above its lowest value. */
  readonly fallen: number;
  /** Whether the mean fell too far within this window. */
  readonly hasFallen: boolean;
}

/** What a confidence made known. */
export type Finding =
  | { readonly kind: 'differs'; readonly by: 'distribution' | 'mean' }
  /** A window has ended that looks like the reference; `shift` is its mean less the reference's, in standard deviations. */
  | { readonly kind: 'alike'; readonly shift: number }
  /** A window has ended that is neither like nor clearly unlike the reference. */
  | { readonly kind: 'unclear' };

/** Windows in a long one. */
const LONG = 10;
/** Critical value of the Kolmogorov-Smirnov test at 1 %: sqrt(-ln(0.01 / 2) / 2). */
const KS_ONE_PERCENT = 1.628;

/** @param reference kept from before; where it does not add up, one is learnt instead */
export function newMonitor(reference?: Reference): Monitor {
  const baseline = reference === undefined ? undefined : baselineOf(reference);
  const kept = baseline === undefined ? undefined : reference;
  return {
    reference: kept ?? NO_REFERENCE,
    baseline,
    window: EMPTY,
    long: EMPTY,
    fallen: 0,
    hasFallen: false,
  };
}

/**
 * Takes in one confidence, 0..1, of this level. Two tests: Kolmogorov and Smirnov's for two samples on each
 * window and on ten of them together, for what comes at once and in any direction, and Page and Hinkley's
 * (Biometrika 41, 1954; 58, 1971) on all confidences, for a mean that falls slowly.
 * @param mayLearn whether a reference may be learnt now: not while there is an alarm
 */
export function monitored(
  monitor: Monitor,
  confidence: number,
  { limits, mayLearn }: { readonly limits: MonitorLimits; readonly mayLearn: boolean },
): { readonly monitor: Monitor; readonly finding?: Finding } {
  const { baseline } = monitor;
  if (baseline !== undefined) return compared(monitor, baseline, { confidence, limits });
  if (!mayLearn) return { monitor };
  const reference = learnt(monitor.reference, confidence);
  const isEnough = reference.histogram.total >= limits.referenceCount;
  return { monitor: { ...monitor, reference, baseline: isEnough ? baselineOf(reference) : undefined } };
}

/** Begins a window anew: what it held belongs to before. */
export function restarted(monitor: Monitor): Monitor {
  return { ...monitor, window: EMPTY, long: EMPTY, fallen: 0, hasFallen: false };
}

function compared(
  monitor: Monitor,
  baseline: Baseline,
  { confidence, limits }: { readonly confidence: number; readonly limits: MonitorLimits },
): { readonly monitor: Monitor; readonly finding?: Finding } {
  const { windowCount, horizonWindows, falseAlarm } = limits;
  const window = added(monitor.window, confidence);
  const fallen = Math.max(0, monitor.fallen + baseline.mean - confidence - baseline.tolerance);
  if (fallen * baseline.slope > Math.log((windowCount * horizonWindows) / falseAlarm)) {
    const next = { ...monitor, window, fallen: 0, hasFallen: true };
    return { monitor: next, finding: { kind: 'differs', by: 'mean' } };
  }
  if (window.total < windowCount) return { monitor: { ...monitor, window, fallen } };
  const long = merged(monitor.long, window);
  const isLong = long.total >= LONG * windowCount;
  const next = { ...monitor, window: EMPTY, long: isLong ? EMPTY : long, fallen, hasFallen: false };
  const each = differenceOf(window, baseline, limits);
  const together = isLong ? differenceOf(long, baseline, limits) : 'none';
  if (each === 'clear' || together === 'clear') {
    return { monitor: next, finding: { kind: 'differs', by: 'distribution' } };
  }
  if (each === 'slight' || together === 'slight' || monitor.hasFallen) {
    return { monitor: next, finding: { kind: 'unclear' } };
  }
  const shift = (meanOf(window) - baseline.mean) / baseline.deviation;
  return { monitor: next, finding: { kind: 'alike', shift } };
}

function differenceOf(
  window: Histogram,
  { histogram, independence }: Baseline,
  { falseAlarm, horizonWindows }: MonitorLimits,
): 'none' | 'slight' | 'clear' {
  const scale = Math.sqrt((1 / window.total + 1 / histogram.total) / independence);
  const distance = ksDistance(window, histogram);
  // The two-sample test's level for many cases is alpha = 2 exp(-2 c^2); alpha is divided over the windows.
  const clear = Math.sqrt(-Math.log(falseAlarm / horizonWindows / 2) / 2);
  if (distance > clear * scale) return 'clear';
  return distance > KS_ONE_PERCENT * scale ? 'slight' : 'none';
}
