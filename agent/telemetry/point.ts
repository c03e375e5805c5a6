import type { Distribution, PointWindow, ProcessingElement } from '../../shared/protocol/window.ts';
import { Sketch } from '../../shared/sketch.ts';

/** One inference, as telemetry sees it. */
export interface InferenceSeen {
  readonly pe: ProcessingElement;
  readonly level: number;
  /** From the frame's arrival to its answer. */
  readonly latencyMs: number;
  /** The run alone. */
  readonly runMs: number;
  /** The run by the profile; undefined where the profile says nothing. */
  readonly profileMs: number | undefined;
  /** Above idle; undefined where it is not known. */
  readonly energyJ: number | undefined;
  /** Largest softmax probability of the answer, 0..1. */
  readonly confidence: number;
  /** Over the latency budget in force. */
  readonly missed: boolean;
  /** Whether the answer was right; undefined when the frame has no label. */
  readonly correct: boolean | undefined;
  /** Monotonic time of the answer. */
  readonly nowMs: number;
}

/** An audit that ended, of an inference on this operating point. */
export interface AuditSeen {
  readonly pe: ProcessingElement;
  readonly level: number;
  /** Whether the best level gave the same answer. */
  readonly agreed: boolean;
}

/** Gathers what one operating point does in a window. */
export interface PointGatherer {
  inference(seen: InferenceSeen): void;
  audited(agreed: boolean): void;
  /** It was the operating point in use for so much longer. */
  used(ms: number): void;
  window(): PointWindow;
}

/** Makes a gatherer of an operating point that has done nothing. */
export function createPointGatherer(pe: ProcessingElement, level: number): PointGatherer {
  const counts = { inferences: 0, misses: 0, labelled: 0, correct: 0 };
  let [timeMs, confidenceSum, audits, agreed] = [0, 0, 0, 0];
  const latencyMs = createDistribution();
  const known = {
    slowdown: createDistribution(),
    queueMs: createDistribution(),
    energyJ: createDistribution(),
  };
  return {
    inference: (seen) => {
      counts.inferences += 1;
      counts.misses += seen.missed ? 1 : 0;
      counts.labelled += seen.correct === undefined ? 0 : 1;
      counts.correct += seen.correct === true ? 1 : 0;
      confidenceSum += seen.confidence;
      latencyMs.add(seen.latencyMs);
      known.queueMs.add(Math.max(0, seen.latencyMs - seen.runMs));
      if (seen.profileMs !== undefined) known.slowdown.add(seen.runMs / seen.profileMs);
      if (seen.energyJ !== undefined) known.energyJ.add(seen.energyJ);
    },
    audited: (isSame) => {
      audits += 1;
      agreed += isSame ? 1 : 0;
    },
    used: (ms) => {
      timeMs += ms;
    },
    window: () => ({
      pe,
      level,
      ...counts,
      timeMs,
      confidenceSum,
      audits,
      agreed,
      latencyMs: latencyMs.value() ?? NO_VALUES,
      ...Object.fromEntries(
        Object.entries(known).flatMap(([name, of]) => {
          const value = of.value();
          return value === undefined ? [] : [[name, value]];
        }),
      ),
    }),
  };
}

/** What a distribution says that has no values: an operating point may be in use without a frame. */
const NO_VALUES: Distribution = { count: 0, sum: 0, min: 0, max: 0, sketch: new Sketch().encode() };

function createDistribution() {
  let [count, sum, max] = [0, 0, 0];
  let min = Number.POSITIVE_INFINITY;
  const sketch = new Sketch();
  return {
    /** What is no number, or below zero, tells nothing and is left out. */
    add: (value: number): void => {
      if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) return;
      count += 1;
      sum += value;
      min = Math.min(min, value);
      max = Math.max(max, value);
      sketch.add(value);
    },
    /** Undefined without values. */
    value: (): Distribution | undefined =>
      count === 0 ? undefined : { count, sum, min, max, sketch: sketch.encode() },
  };
}
