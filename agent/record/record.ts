import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { writeAtomic } from '../../shared/files.ts';
import { type Random, seededRandom } from '../../shared/random.ts';
import type { Engine } from '../engine/engine.ts';
import type { Profile } from '../runtime/points.ts';
import type { Trace } from '../simulate/trace.ts';

/** What runs the levels; those of the profile are loaded. */
export type Runner = Pick<Engine, 'run'>;

/** Something else that is run once in every frame, in turn with the levels; a policy under test, for instance. */
export type Alongside = (pixels: Uint8Array, frame: number) => Promise<void>;

export interface RecordOptions {
  /** Time between two frames; all levels are run within it. */
  readonly periodMs: number;
  /** From a frame's arrival to the latest useful answer; only written down. */
  readonly deadlineMs: number;
  /** Frames to record. */
  readonly frames: number;
  /** The image of the next frame, which every level gets. */
  readonly nextFrame: () => Promise<Uint8Array>;
  readonly clock: Clock;
  readonly alongside?: readonly Alongside[];
  /**
   * Called after the warm-up with the monotonic time of frame 0, which lies `LEAD_MS` ahead: a scripted load
   * begins with it.
   */
  readonly onStart?: (startMs: number) => void;
  /** Frames of warm-up, default 50. */
  readonly warmUpFrames?: number;
}

/** A trace holds no more frames than this. */
export const MAX_RECORDED_FRAMES = 1_000_000;
const WARM_UP_FRAMES = 50;
/** Time between the end of the warm-up and the first frame. */
export const LEAD_MS = 50;
/** The orders are the same in each recording. */
const ORDER_SEED = 1;
/** Share of the period that the levels may take when nothing disturbs them. */
const MAX_BUSY = 0.8;

/**
 * Records what every level takes for every frame, under whatever load there is: a paired trace. In each frame
 * all levels take turns, spread evenly over its period (right after another they would find the caches warm),
 * in another order in each frame: what a level finds in the caches depends on which one ran before it. A frame whose time has passed before it could begin is left out; the
 * arrivals then say which.
 * @returns the trace; with fewer frames than asked when `signal` aborts
 * @throws AppError `config` when the levels do not fit into the period, `partial` when it was aborted before
 * the first frame, and as `engine.run` does: a trace with holes is of no use
 */
export async function recordTrace(
  engine: Runner,
  profile: Profile,
  options: RecordOptions,
  signal: AbortSignal,
): Promise<Trace> {
  checkOptions(profile, options);
  await warmUp(engine, profile, options, signal);
  const startMs = options.clock.monoMs() + LEAD_MS;
  options.onStart?.(startMs);
  const rows: number[][] = [];
  const arrivals: number[] = [];
  const turn = createTurns(engine, profile, options);
  for (let frame = 0; frame < options.frames && !signal.aborted; frame += 1) {
    const dueMs = startMs + frame * options.periodMs;
    if (options.clock.monoMs() - dueMs >= options.periodMs) continue;
    const row = await turn(frame, dueMs, signal);
    if (row === undefined) break;
    rows.push(row);
    arrivals.push(frame * options.periodMs);
  }
  if (rows.length === 0) throw new AppError('partial', 'the recording was ended before its first frame');
  return traceOf(profile, options, rows, arrivals);
}

function checkOptions(profile: Profile, { periodMs, frames }: RecordOptions): void {
  if (!(Number.isInteger(frames) && frames >= 1 && frames <= MAX_RECORDED_FRAMES)) {
    throw new AppError('config', `a recording of ${frames} frames: expected 1 to ${MAX_RECORDED_FRAMES}`);
  }
  const togetherMs = profile.reduce((sum, { latencyMs }) => sum + latencyMs, 0);
  if (togetherMs <= MAX_BUSY * periodMs) return;
  const atLeast = Math.ceil(togetherMs / MAX_BUSY);
  throw new AppError(
    'config',
    `all ${profile.length} levels together take ${togetherMs.toPrecision(3)} ms, a frame every ` +
      `${Number(periodMs.toPrecision(3))} ms leaves no room for that: record with at least ${atLeast} ms between frames`,
  );
}

async function warmUp(
  engine: Runner,
  profile: Profile,
  { nextFrame, warmUpFrames = WARM_UP_FRAMES }: RecordOptions,
  signal: AbortSignal,
): Promise<void> {
  for (let frame = 0; frame < warmUpFrames && !signal.aborted; frame += 1) {
    const pixels = await nextFrame();
    for (const point of profile.keys()) await engine.run(point, pixels);
  }
}

/** Runs everything once that takes turns in a frame; undefined when it was aborted in between. */
type Turns = (frame: number, dueMs: number, signal: AbortSignal) => Promise<number[] | undefined>;

function createTurns(engine: Runner, profile: Profile, options: RecordOptions): Turns {
  const { clock, periodMs, alongside = [], nextFrame } = options;
  const count = profile.length + alongside.length;
  const random = seededRandom(ORDER_SEED);
  return async (frame, dueMs, signal) => {
    const pixels = await nextFrame();
    const row = profile.map(() => Number.NaN);
    for (const [slot, who] of shuffled(random, count).entries()) {
      const waitMs = dueMs + (slot / count) * periodMs - clock.monoMs();
      if (waitMs > 0) await clock.sleep(waitMs, signal).catch(() => undefined);
      if (signal.aborted) return undefined;
      if (who < profile.length) row[who] = await timeOf(engine, who, pixels);
      else await alongside[who - profile.length]?.(pixels, frame);
    }
    return row;
  };
}

/** The numbers below `count` in an order of chance (Fisher and Yates). */
function shuffled(random: Random, count: number): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last -= 1) {
    const other = random.below(last + 1);
    [order[last], order[other]] = [order[other] ?? 0, order[last] ?? 0];
  }
  return order;
}

async function timeOf(engine: Runner, point: number, pixels: Uint8Array): Promise<number> {
  try {
    const { totalMs } = await engine.run(point, pixels);
    return totalMs;
  } catch (cause) {
    const code = cause instanceof AppError ? cause.code : 'system';
    throw new AppError(code, `the recording ends at operating point ${point}: ${describeError(cause)}`, {
      cause,
    });
  }
}

function traceOf(
  profile: Profile,
  { periodMs, deadlineMs }: RecordOptions,
  rows: readonly number[][],
  arrivals: readonly number[],
): Trace {
  const isWhole = arrivals.every((arrivalMs, frame) => arrivalMs === frame * periodMs);
  return {
    periodMs,
    deadlineMs,
    levels: profile.map(({ pe, accuracy, latencyMs, energyJ }) => ({
      pe,
      accuracy,
      latencyMs,
      ...(energyJ === undefined ? {} : { energyJ }),
    })),
    latencyMs: rows.map((row) => row.map(tenthOfMicrosecond)),
    ...(isWhole ? {} : { arrivalMs: [...arrivals] }),
  };
}

/** A trace of a million frames is a file of 50 MB, and not of 100. */
function tenthOfMicrosecond(ms: number): number {
  return Number(ms.toFixed(4));
}

/**
 * Writes a trace as a file that is there whole or not at all.
 * @throws AppError `system` when it cannot be written
 */
export async function writeTrace(path: string, trace: Trace): Promise<void> {
  try {
    await writeAtomic(path, `${JSON.stringify(trace)}\n`);
  } catch (cause) {
    throw new AppError('system', `${path}: the trace cannot be written: ${describeError(cause)}`, { cause });
  }
}
