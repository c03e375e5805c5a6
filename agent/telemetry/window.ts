import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { PointWindow, ProcessingElement, WindowBody } from '../../shared/protocol/window.ts';
import { Sketch } from '../../shared/sketch.ts';

/** One inference, as telemetry sees it. */
export interface InferenceSeen {
  readonly pe: ProcessingElement;
  readonly level: number;
  readonly latencyMs: number;
  /** Over the latency budget in force. */
  readonly missed: boolean;
  /** Whether the answer was right; undefined when the frame has no label. */
  readonly correct: boolean | undefined;
}

/** What a window says of the moment at which it ends. */
export interface WindowEnd {
  readonly family: string;
  readonly slowdown: number;
  readonly price: number;
  readonly requirement: Requirement;
  readonly durationMs: number;
}

type CountName = 'switches' | 'skipped' | 'unreadable' | 'failed' | 'sheds';

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
  count(name: CountName, by?: number): void;
  take(end: WindowEnd): WindowBody;
}

interface PointGatherer {
  readonly counts: Omit<PointWindow, 'latencySketch'>;
  readonly sketch: Sketch;
}

function emptyPoint(pe: ProcessingElement, level: number): PointGatherer {
  return {
    counts: {
      pe,
      level,
      inferences: 0,
      misses: 0,
      labelled: 0,
      correct: 0,
      latencySumMs: 0,
      latencyMinMs: Number.POSITIVE_INFINITY,
      latencyMaxMs: 0,
    },
    sketch: new Sketch(),
  };
}

function addInference({ counts, sketch }: PointGatherer, seen: InferenceSeen): void {
  counts.inferences += 1;
  counts.misses += seen.missed ? 1 : 0;
  counts.labelled += seen.correct === undefined ? 0 : 1;
  counts.correct += seen.correct === true ? 1 : 0;
  counts.latencySumMs += seen.latencyMs;
  counts.latencyMinMs = Math.min(counts.latencyMinMs, seen.latencyMs);
  counts.latencyMaxMs = Math.max(counts.latencyMaxMs, seen.latencyMs);
  sketch.add(seen.latencyMs);
}

/** Makes an empty gatherer. */
export function createWindowGatherer(): WindowGatherer {
  let points = new Map<string, PointGatherer>();
  let counts = { ...NO_COUNTS };
  return {
    inference: (seen) => {
      const key = `${seen.pe}/${seen.level}`;
      const point = points.get(key) ?? emptyPoint(seen.pe, seen.level);
      points.set(key, point);
      addInference(point, seen);
    },
    count: (name, by = 1) => {
      counts[name] += by;
    },
    take: (end) => {
      const body: WindowBody = {
        ...end,
        ...counts,
        points: [...points.values()].map(({ counts: of, sketch }) => ({
          ...of,
          latencySketch: sketch.encode(),
        })),
      };
      points = new Map();
      counts = { ...NO_COUNTS };
      return body;
    },
  };
}
