import { onsetRate } from './counts.ts';
import { followLoad, initialLoad, type Jump, type Load } from './load.ts';
import { dueProbability, noOnsets, type Onsets, observeJump, observePace } from './onsets.ts';
import { probabilityAbove, quantileAbove } from './residuals.ts';

/** What is known of one processing element. */
export interface Element {
  readonly load: Load;
  readonly onsets: Onsets;
  /** When its last inference started. */
  readonly observedMs: number | undefined;
}

/** One thing that the load may be at the next inference. */
export interface Hypothesis {
  readonly probability: number;
  /** Logarithm of the slowdown. */
  readonly mean: number;
  /** By how much the noise is widened because the mean is not known exactly. */
  readonly widening: number;
}

/** The slowdown that is expected, as a distribution. */
export interface Outlook {
  /** What it may be, the slowest first; their probabilities and the surprise's add up to 1. */
  readonly hypotheses: readonly Hypothesis[];
  /** A rise of a size that was not seen before, exponential above the regime. */
  readonly surprise: { readonly probability: number; readonly from: number; readonly rise: number };
  /** Probability of load that is expected now because it has come at such times before. */
  readonly due: number;
}

/** An element after an inference. */
export interface Observed {
  readonly element: Element;
  /** The jump of the load that the inference made certain. */
  readonly jump: Jump | undefined;
  /** Whether the load has not jumped and is not suspected to have. */
  readonly isSettled: boolean;
}

/** A rise that is assumed where none was seen yet: a second application on a GPU of a Jetson takes about this. */
const ASSUMED_RISE = 0.25;
/** Not worth the time that it takes to weigh it. */
const NEGLIGIBLE = 1e-5;
/** Of rises that nothing announced, the part that is as large as earlier ones. */
const AS_BEFORE = 0.7;
/** The least part of onsets that no period announces. */
const STILL_UNANNOUNCED = 0.3;
/** What is known of an element that is not used fades: its load may be gone by now. */
const FADES_MS = 10_000;
/** With inferences far apart it fades after so many of them. */
const FADES_PACES = 100;
/** By so much the noise is widened then; not more, or the element would never be tried again. */
const STALE_WIDENING = 0.5;

/** Nothing was measured yet. */
export function newElement(): Element {
  return { load: initialLoad(), onsets: noOnsets(), observedMs: undefined };
}

/** Takes the logarithm of measured / profiled of an inference in. */
export function observeElement(element: Element, x: number, startedMs: number): Observed {
  // After a long silence the load is as likely another one as what is known has faded.
  const due = Math.max(dueProbability(element.onsets, startedMs), fadedAt(element, startedMs));
  const { load, jump } = followLoad(element.load, { x, startedMs, due });
  const paced = observePace(element.onsets, startedMs);
  const onsets = jump === undefined ? paced : observeJump(paced, jump);
  const isSettled = jump === undefined && load.rival === undefined;
  return { element: { load, onsets, observedMs: startedMs }, jump, isSettled };
}

/** Takes a part of the slowdown back that was something else, as a logarithm. */
export function withoutShift(element: Element, shift: number): Element {
  const { load } = element;
  return { ...element, load: { ...load, regime: { ...load.regime, mean: load.regime.mean - shift } } };
}

/** What the load may be at an inference that starts now. */
export function outlookOf(element: Element, nowMs: number): Outlook {
  const { load, onsets } = element;
  const { regime, rival, suspect } = load;
  const rise = onsets.rise || ASSUMED_RISE;
  const faded = fadedAt(element, nowMs);
  const stale = STALE_WIDENING * faded;
  const widening = Math.sqrt(1 + 1 / regime.seen) + stale;
  const hypotheses: Hypothesis[] = [];
  let rest = 1;
  /** Gives a part of what is not accounted for yet to a mean. */
  const add = (share: number, mean: number, widened = widening): void => {
    hypotheses.push({ probability: rest * share, mean, widening: widened });
    rest -= rest * share;
  };
  if (rival !== undefined)
    add(rival.probability * (1 - faded), rival.mean, Math.sqrt(1 + 1 / rival.seen) + stale);
  if (suspect !== undefined)
    add(suspect.probability * (1 - faded), suspect.mean, Math.sqrt(1 + 1 / suspect.seen) + stale);
  const due = rival === undefined ? dueProbability(onsets, nowMs) : 0;
  if (due > 0) add(due, regime.mean + rise);
  const unannounced = onsetRate(load.counts) * Math.max(STILL_UNANNOUNCED, 1 - (onsets.period?.trust ?? 0));
  add(unannounced * AS_BEFORE, regime.mean + rise);
  const surprise = { probability: rest * unannounced * (1 - AS_BEFORE), from: regime.mean, rise };
  rest -= surprise.probability;
  if (faded > 0) add(faded, 0);
  add(1, regime.mean);
  return { hypotheses: hypotheses.sort((a, b) => b.mean - a.mean), surprise, due };
}

/** How far what is known of an element has faded, 0..1: what was long ago, by its own pace, says little. */
function fadedAt({ observedMs, onsets }: Element, nowMs: number): number {
  const silentMs = Math.max(0, nowMs - (observedMs ?? nowMs));
  return 1 - Math.exp(-silentMs / Math.max(FADES_MS, FADES_PACES * onsets.paceMs));
}

/** Probability that the logarithm of the slowdown, noise included, is above a value. */
export function probabilityBeyond({ load }: Element, { hypotheses, surprise }: Outlook, log: number): number {
  let sum = surprise.probability * Math.exp(-Math.max(0, log - surprise.from) / surprise.rise);
  for (const { probability, mean, widening } of hypotheses) {
    if (probability > NEGLIGIBLE)
      sum += probability * probabilityAbove(load.residuals, (log - mean) / widening);
  }
  return sum;
}

/**
 * Slowdown that is passed with a probability. The hypotheses are taken for well apart: the slower ones use the
 * probability up, and the one in which it ends is asked for what is left of it.
 */
export function slowdownAt({ load }: Element, { hypotheses }: Outlook, probability: number): number {
  let left = probability;
  for (const { probability: share, mean, widening } of hypotheses) {
    if (share > left || share === hypotheses.at(-1)?.probability) {
      return Math.exp(mean + widening * quantileAbove(load.residuals, Math.min(1, left / share)));
    }
    left -= share;
  }
  return 1;
}

/** Slowdown without noise, by the most likely hypothesis. */
export function expectedSlowdown({ hypotheses }: Outlook): number {
  return Math.exp(mostLikely(hypotheses).mean);
}

function mostLikely(hypotheses: readonly Hypothesis[]): Hypothesis {
  return hypotheses.reduce((a, b) => (b.probability > a.probability ? b : a));
}
