import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import { type Energy, energyPerInference } from '../../shared/measure/energy.ts';
import { measureInTurns, pacer, type TimedRun } from '../../shared/measure/turns.ts';
import type { NoPowerMeter, PowerMeter } from '../../shared/power/meter.ts';
import { type ChosenPoint, type Contender, leanFileOf, waysToRun } from './contender.ts';
import { latencyFigures } from './figures.ts';
import type { PointFigures } from './profile-store.ts';
import { chooseThreads } from './threads.ts';

/** What measuring needs of an engine. */
export interface MeasuredEngine {
  run(point: number, frame: Uint8Array): Promise<{ readonly totalMs: number }>;
  load(point: number): Promise<void>;
  unload(point: number): Promise<void>;
}

export interface MeasureOptions {
  readonly frame: Uint8Array;
  readonly clock: Clock;
  /** From one run to the next, milliseconds: about the pace of frames. */
  readonly periodMs: number;
  /** Runs of each point that count, default 20. */
  readonly rounds?: number;
  /** Runs of each number of threads, default 10. */
  readonly threadRounds?: number;
  readonly meter?: PowerMeter | NoPowerMeter;
  /** Memory of this process in bytes, undefined where it cannot be known. */
  readonly memoryBytes?: () => Promise<number | undefined>;
  /** What may be loaded at once; without it everything. */
  readonly budgetBytes?: number;
  readonly signal?: AbortSignal;
}

/** A point that cannot be used now, and why. */
export interface LeftOut {
  readonly pe: Contender['pe'];
  readonly level: number;
  readonly reason: string;
}

export interface Measured {
  /** In the order of the contenders. */
  readonly points: readonly PointFigures[];
  readonly leftOut: readonly LeftOut[];
}

const WARM_UP_RUNS = 3;
const ROUNDS = 20;
const THREAD_ROUNDS = 10;
/** Length of the idle time, and of the runs after it, by which energy is measured. */
const ENERGY_WINDOW_MS = 1_000;
/** Longest reason that is kept. */
const MAX_REASON = 1_000;

/** The points that an engine must have to measure contenders: each with each of its numbers of threads. */
export function trialPoints(contenders: readonly Contender[]): ChosenPoint[] {
  return contenders.flatMap(waysToRun);
}

/** A contender whose threads were chosen. */
interface Tried {
  readonly point: ChosenPoint;
  /** Index in the engine. */
  readonly index: number;
  readonly memoryBytes: number | undefined;
}

/**
 * Measures operating points: of each its memory and its number of threads, then of all in turn their
 * latencies, then the energy where there is a meter. One that cannot be loaded or run is left out.
 * @param engine of `trialPoints(contenders)`, nothing of it loaded
 * @throws the signal's reason when it aborts
 */
export async function measureFamily(
  contenders: readonly Contender[],
  engine: MeasuredEngine,
  options: MeasureOptions,
): Promise<Measured> {
  const tried: Tried[] = [];
  const leftOut: LeftOut[] = [];
  const points: PointFigures[] = [];
  const all = trialPoints(contenders);
  const sort = (contender: Pick<Contender, 'pe' | 'level'>, outcome: Tried | PointFigures | string): void => {
    const { pe, level } = contender;
    if (typeof outcome === 'string') leftOut.push({ pe, level, reason: outcome.slice(0, MAX_REASON) });
    else if ('index' in outcome) tried.push(outcome);
    else points.push(outcome);
  };
  if (options.memoryBytes !== undefined) await primeLibrary(engine, options);
  let first = 0;
  for (const contender of contenders) {
    const ways = all.slice(first, first + contender.threads.length);
    sort(contender, await orReason(tryWays(ways, first, engine, options), options.signal));
    first += ways.length;
  }
  for (const group of groupsThatFit(tried, options.budgetBytes)) {
    for (const [place, outcome] of (await measureGroup(group, engine, options)).entries()) {
      const measured = group[place];
      if (measured !== undefined) sort(measured.point, outcome);
    }
  }
  return { points, leftOut };
}

async function orReason<T>(attempt: Promise<T>, signal: AbortSignal | undefined): Promise<T | string> {
  try {
    return await attempt;
  } catch (error) {
    signal?.throwIfAborted();
    return describeError(error);
  }
}

/** What the library takes for itself comes with the first model; it is not that model's. */
async function primeLibrary(engine: MeasuredEngine, { frame, signal }: MeasureOptions): Promise<void> {
  const once = async (): Promise<void> => {
    await engine.load(0);
    await engine.run(0, frame);
    await engine.unload(0);
  };
  // What is wrong with it is found out when its turn comes.
  await orReason(once(), signal);
}

/** Loads a contender in all its ways, measures them against each other, and keeps the one that is chosen. */
async function tryWays(
  ways: readonly ChosenPoint[],
  first: number,
  engine: MeasuredEngine,
  options: MeasureOptions,
): Promise<Tried> {
  const indices = ways.map((_, place) => first + place);
  const memoryBytes = await grownBy(options.memoryBytes, async () => {
    await engine.load(first);
    for (let count = 0; count < WARM_UP_RUNS; count += 1) await engine.run(first, options.frame);
  });
  for (const index of indices.slice(1)) await engine.load(index);
  const chosen = ways.length < 2 ? 0 : await bestWay(ways, first, engine, options);
  // With a budget nothing stays: the groups that fit are made when the memory of all is known.
  const kept = options.budgetBytes === undefined ? first + chosen : undefined;
  for (const index of indices) if (index !== kept) await engine.unload(index);
  const point = ways[chosen];
  if (point === undefined) throw new Error('a contender has at least one number of threads');
  return { point, index: first + chosen, memoryBytes };
}

async function bestWay(
  ways: readonly ChosenPoint[],
  first: number,
  engine: MeasuredEngine,
  options: MeasureOptions,
): Promise<number> {
  const runs = ways.map((_, place) => runOf(engine, first + place, options.frame));
  const rounds = options.threadRounds ?? THREAD_ROUNDS;
  const latenciesMs = await measurePaced(runs, rounds, options);
  const measured = ways.map(({ threads }, place) => ({
    threads,
    p95Ms: latencyFigures(latenciesMs[place] ?? []).p95Ms,
  }));
  const threads = chooseThreads(measured);
  return ways.findIndex((way) => way.threads === threads);
}

/** In turn and at the pace of frames. */
async function measurePaced(
  runs: readonly TimedRun[],
  rounds: number,
  { clock, periodMs, signal }: MeasureOptions,
): Promise<number[][]> {
  const pace = pacer(clock, periodMs, signal);
  const abort = signal === undefined ? {} : { signal };
  return await measureInTurns(runs, { rounds, warmUp: WARM_UP_RUNS, pace, ...abort });
}

function runOf(engine: MeasuredEngine, index: number, frame: Uint8Array): TimedRun {
  return async () => (await engine.run(index, frame)).totalMs;
}

/** What is gone again, or lost in the noise, is not known rather than nothing. */
async function grownBy(
  memory: (() => Promise<number | undefined>) | undefined,
  act: () => Promise<void>,
): Promise<number | undefined> {
  const before = await memory?.();
  await act();
  const after = await memory?.();
  return before === undefined || after === undefined || after <= before ? undefined : after - before;
}

/** Points that can be loaded together, in order; one that does not even fit alone is measured alone. */
function groupsThatFit(tried: readonly Tried[], budgetBytes: number | undefined): Tried[][] {
  if (budgetBytes === undefined) return tried.length === 0 ? [] : [[...tried]];
  const groups: Tried[][] = [];
  let freeBytes = 0;
  for (const point of tried) {
    const bytes = point.memoryBytes ?? 0;
    const group = groups.at(-1);
    if (group === undefined || bytes > freeBytes) {
      groups.push([point]);
      freeBytes = budgetBytes - bytes;
    } else {
      group.push(point);
      freeBytes -= bytes;
    }
  }
  return groups;
}

/** Figures of each point of a group, or why there are none. */
async function measureGroup(
  group: readonly Tried[],
  engine: MeasuredEngine,
  options: MeasureOptions,
): Promise<(PointFigures | string)[]> {
  const { signal, budgetBytes } = options;
  const failed = new Map<number, string>();
  const note = (index: number, outcome: unknown): void => {
    if (typeof outcome === 'string') failed.set(index, outcome);
  };
  if (budgetBytes !== undefined) {
    for (const { index } of group) note(index, await orReason(engine.load(index), signal));
  }
  const runs = group.map(({ index }): TimedRun => {
    const run = runOf(engine, index, options.frame);
    return async (turn) => {
      if (failed.has(index)) return Number.NaN;
      const latencyMs = await orReason(run(turn), signal);
      note(index, latencyMs);
      return typeof latencyMs === 'number' ? latencyMs : Number.NaN;
    };
  });
  const latenciesMs = await measurePaced(runs, options.rounds ?? ROUNDS, options);
  const outcomes: (PointFigures | string)[] = [];
  for (const [place, { point, index, memoryBytes }] of group.entries()) {
    const reason = failed.get(index);
    outcomes.push(
      reason ?? {
        pe: point.pe,
        level: point.level,
        sha256: point.sha256,
        ...leanFileOf(point),
        threads: point.threads,
        latency: latencyFigures(latenciesMs[place] ?? []),
        ...(memoryBytes === undefined ? {} : { memoryBytes }),
        ...(await energyOf(index, engine, options)),
      },
    );
  }
  if (budgetBytes !== undefined) for (const { index } of group) await engine.unload(index);
  return outcomes;
}

async function energyOf(
  index: number,
  engine: MeasuredEngine,
  options: MeasureOptions,
): Promise<Partial<Energy>> {
  const { meter, frame, clock, signal } = options;
  if (meter === undefined) return {};
  const abort = signal === undefined ? {} : { signal };
  const run = (): Promise<unknown> => engine.run(index, frame);
  const energy = await orReason(
    energyPerInference({ meter, clock, run, windowMs: ENERGY_WINDOW_MS, ...abort }),
    signal,
  );
  if (typeof energy !== 'string' && 'energyJ' in energy) return energy;
  const reason = typeof energy === 'string' ? energy : energy.energyReason;
  return { energyReason: reason.slice(0, MAX_REASON) };
}
