import Type, { type Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import { readWhole } from '../../shared/files.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import { median } from '../../shared/statistics.ts';
import type { Profile } from '../runtime/points.ts';

const PositiveMs = Type.Number({ exclusiveMinimum: 0, maximum: 3_600_000 });

/**
 * What every level would have taken for every frame: a paired trace, in which all policies meet the same luck.
 * Either recorded on a device, all levels in turn, or generated.
 */
export const TraceSchema = Type.Object({
  /** Time between the arrivals of two frames. */
  periodMs: PositiveMs,
  /** From a frame's arrival to the latest useful answer. */
  deadlineMs: PositiveMs,
  levels: Type.Array(
    Type.Object({
      /** Top-1, 0..1. */
      accuracy: Type.Number({ minimum: 0, maximum: 1 }),
      /** Energy of one inference above idle. */
      energyJ: Type.Optional(Type.Number({ minimum: 0 })),
      /** What the device's profile says; without it, the median of the level's latencies in the trace. */
      latencyMs: Type.Optional(PositiveMs),
      pe: Type.Optional(Type.Union([Type.Literal('cpu'), Type.Literal('gpu')])),
    }),
    { minItems: 1, maxItems: 256 },
  ),
  /** Of each frame, one latency for each level. */
  latencyMs: Type.Array(Type.Array(PositiveMs), { minItems: 1, maxItems: 1_000_000 }),
  /** Of each frame; without it one every `periodMs`. */
  arrivalMs: Type.Optional(Type.Array(Type.Number())),
});
export type Trace = Static<typeof TraceSchema>;

/** A file of a million frames of six levels has about 100 MB. */
const MAX_TRACE_BYTES = 512 * 2 ** 20;

/**
 * Reads a trace and checks that it is whole.
 * @throws AppError `not-found` or `invalid` naming file, frame and what is wrong
 */
export async function readTrace(path: string): Promise<Trace> {
  const bytes = await readWhole(path, MAX_TRACE_BYTES);
  const trace = parseJson(new TextDecoder().decode(bytes), parserOf(TraceSchema), path);
  const { arrivalMs, latencyMs, levels } = trace;
  const ragged = latencyMs.findIndex((frame) => frame.length !== levels.length);
  if (ragged >= 0) {
    const found = latencyMs[ragged]?.length;
    throw new AppError(
      'invalid',
      `${path}: frame ${ragged} has ${found} latencies, there are ${levels.length} levels`,
    );
  }
  if (arrivalMs === undefined) return trace;
  if (arrivalMs.length !== latencyMs.length) {
    throw new AppError('invalid', `${path}: ${arrivalMs.length} arrivals for ${latencyMs.length} frames`);
  }
  const back = arrivalMs.findIndex((ms, frame) => ms < (arrivalMs[frame - 1] ?? Number.NEGATIVE_INFINITY));
  if (back >= 0) throw new AppError('invalid', `${path}: frame ${back} arrives before the one before it`);
  return trace;
}

/** When a frame arrives, milliseconds from the beginning of the trace. */
export function arrivalOf({ arrivalMs, periodMs }: Trace, frame: number): number {
  return arrivalMs?.[frame] ?? frame * periodMs;
}

/** The device's profile as the trace states it, or else as the trace's own medians. */
export function profileOf({ levels, latencyMs: frames }: Trace): Profile {
  return levels.map(({ pe = 'cpu', accuracy, latencyMs, energyJ }, level) => ({
    pe,
    level,
    accuracy,
    latencyMs: latencyMs ?? median(frames.map((frame) => frame[level] ?? Number.NaN)),
    ...(energyJ === undefined ? {} : { energyJ }),
  }));
}
