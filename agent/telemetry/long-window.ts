import Type, { type Static } from 'typebox';
import {
  PointWindowSchema,
  ProcessingElementSchema,
  type WindowBody,
  WindowSchema,
} from '../../shared/protocol/window.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';

/** An operating point as earlier versions wrote it: latencies were all that they knew. */
const LongPointSchema = Type.Object({
  pe: ProcessingElementSchema,
  ...Type.Pick(PointWindowSchema, ['level', 'inferences', 'misses', 'labelled', 'correct']).properties,
  latencySumMs: Type.Number({ minimum: 0 }),
  latencyMinMs: Type.Number({ minimum: 0 }),
  latencyMaxMs: Type.Number({ minimum: 0 }),
  latencySketch: Type.String({ maxLength: 16_384 }),
});

const LongWindowSchema = Type.Object({
  ...WindowSchema.properties,
  points: Type.Array(LongPointSchema, { maxItems: 256 }),
});
const parseLong = parserOf(LongWindowSchema);

/**
 * Reads a window that an earlier version has left in the outbox.
 * @throws AppError `invalid` when it is none
 */
export function readLongWindow(text: string): WindowBody {
  const { points, ...rest } = parseJson(text, parseLong, 'a window of an earlier version');
  return { ...rest, points: points.map(pointOf) };
}

function pointOf({
  latencySumMs,
  latencyMinMs,
  latencyMaxMs,
  latencySketch,
  ...counts
}: Static<typeof LongPointSchema>): WindowBody['points'][number] {
  const sum = { count: counts.inferences, sum: latencySumMs, min: latencyMinMs, max: latencyMaxMs };
  return { ...counts, latencyMs: { ...sum, sketch: latencySketch } };
}
