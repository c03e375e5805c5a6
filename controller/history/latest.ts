import type { Static } from 'typebox';
import { Sketch } from '../../shared/sketch.ts';
import type { LatestSchema } from '../api/schemas.ts';
import { ruleOf } from './metrics.ts';
import type { LatestWindow } from './window-store.ts';

/** The newest window of a device in a line. */
export function summaryOf(window: LatestWindow): Static<typeof LatestSchema> {
  const { ts, durationMs, switches, sheds, slowdown, requirement, points } = window;
  const latency = ruleOf('latencyMs').measure(window, points);
  const accuracy = ruleOf('accuracy').measure(window, points);
  const busiest = points.reduce<(typeof points)[number] | undefined>(
    (most, point) => (point.inferences > (most?.inferences ?? 0) ? point : most),
    undefined,
  );
  return {
    ts,
    durationMs,
    inferences: latency?.count ?? 0,
    misses: points.reduce((sum, { misses }) => sum + misses, 0),
    switches,
    sheds,
    level: busiest?.level ?? null,
    latencyMeanMs: latency === undefined ? null : latency.sum / latency.weight,
    latencyP95Ms: latency === undefined ? null : percentile95(latency),
    accuracy: accuracy === undefined ? null : accuracy.sum / accuracy.weight,
    slowdown,
    requirement,
  };
}

function percentile95({
  sketches = [],
  min,
  max,
}: {
  sketches?: readonly string[];
  min: number;
  max: number;
}) {
  const merged = new Sketch();
  for (const text of sketches) merged.merge(Sketch.decode(text));
  const value = merged.quantile(0.95);
  return value === undefined ? null : Math.min(Math.max(value, min), max);
}
