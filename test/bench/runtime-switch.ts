import { join } from 'node:path';
import { type Engine, startEngine } from '../../agent/engine/engine.ts';
import { prepareLean } from '../../agent/engine/lean.ts';
import type { PointSpec } from '../../agent/engine/protocol.ts';
import { systemClock } from '../../shared/clock.ts';
import { argmax } from '../../shared/logits.ts';
import { median, quantile } from '../../shared/statistics.ts';
import { type Figure, judged } from './report.ts';
import { LARGE_INPUT, LARGE_OUTPUT, largeFamily, largeFrame, largePoints } from './runtime-memory-family.ts';

const SWITCHES = 700;
/** Of one level after a switch to it: the last one is steady. */
const RUNS_PER_SWITCH = 4;
const SWITCH_BAR_MS = 2;

const LATENCY_ROUNDS = 40;
const CHORES = 60;
const PREPARE_TIMEOUT_MS = 300_000;

/** What a switch between the warm levels of a family costs, and that none loses a frame. */
export async function switchFigures(): Promise<Figure[]> {
  await using family = await largeFamily('common');
  const { models, folder } = family;
  const lean = await prepareLean({
    models,
    folder: join(folder, 'lean'),
    timeoutMs: PREPARE_TIMEOUT_MS,
    clock: systemClock,
  });
  const points = largePoints(models, lean);
  const switching = await withEngine(points, measureSwitches);
  const lost = await withEngine(points, framesLost);
  const latency = await withEngine([...points, ...largePoints(models)], leanLatencyRatio);
  return [
    judged({
      name: 'switch_p99_ms',
      value: switching.p99Ms,
      unit: 'ms',
      better: 'lower',
      bar: SWITCH_BAR_MS,
    }),
    { name: 'switch_p50_ms', value: switching.p50Ms, unit: 'ms', better: 'lower' },
    judged({ name: 'frames_lost', value: switching.lost + lost, unit: 'frames', better: 'lower', bar: 0 }),
    { name: 'family_latency_ratio', value: latency, unit: 'ratio', better: 'lower' },
  ];
}

async function withEngine<T>(
  points: readonly PointSpec[],
  measure: (engine: Engine, points: readonly PointSpec[]) => Promise<T>,
): Promise<T> {
  await using engine = await startEngine({
    points,
    input: LARGE_INPUT,
    output: LARGE_OUTPUT,
    runTimeoutMs: 60_000,
    clock: systemClock,
    onFatal: (error) => {
      throw error;
    },
  });
  return await measure(engine, points);
}

interface Switching {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lost: number;
}

/**
 * Every switch gives one first and one steady latency of the same level, milliseconds apart: what else the
 * machine does hits both alike. Of each its level's usual latency is taken off, then all levels stand together.
 */
async function measureSwitches(engine: Engine, points: readonly PointSpec[]): Promise<Switching> {
  const frame = largeFrame();
  const firstMs = points.map((): number[] => []);
  const steadyMs = points.map((): number[] => []);
  let lost = 0;
  for (let count = 0; count < SWITCHES; count += 1) {
    const point = nextPoint(count, points.length);
    for (let run = 0; run < RUNS_PER_SWITCH; run += 1) {
      const totalMs = await engine.run(point, frame).then(
        (inference) => inference.totalMs,
        () => undefined,
      );
      if (totalMs === undefined) lost += 1;
      else if (run === 0) firstMs[point]?.push(totalMs);
      else if (run === RUNS_PER_SWITCH - 1) steadyMs[point]?.push(totalMs);
    }
  }
  const usualMs = steadyMs.map(median);
  const excess = (levels: readonly number[][]): number[] =>
    levels.flatMap((timesMs, level) => timesMs.map((ms) => ms - (usualMs[level] ?? Number.NaN)));
  const [first, steady] = [excess(firstMs), excess(steadyMs)];
  return {
    p50Ms: quantile(first, 0.5) - quantile(steady, 0.5),
    p99Ms: quantile(first, 0.99) - quantile(steady, 0.99),
    lost,
  };
}

/** Every level after every other one in turn. */
function nextPoint(count: number, points: number): number {
  const round = Math.floor(count / points);
  const step = 1 + (round % (points - 1));
  return (count * step) % points;
}

/** Frames that get no answer, or another model's, while other levels are unloaded and loaded between them. */
async function framesLost(engine: Engine, points: readonly PointSpec[]): Promise<number> {
  const frame = largeFrame();
  const [serving, ...others] = points.keys();
  if (serving === undefined) return Number.NaN;
  const expected = argmax((await engine.run(serving, frame)).logits);
  let lost = 0;
  const work = { left: true };
  const frames = async (): Promise<void> => {
    while (work.left) {
      const answer = await engine.run(serving, frame).catch(() => undefined);
      if (answer === undefined || argmax(answer.logits) !== expected) lost += 1;
    }
  };
  const chores = async (): Promise<void> => {
    for (let count = 0; count < CHORES; count += 1) {
      const point = others[count % others.length] ?? serving;
      await Promise.all([engine.unload(point), engine.load(point)]);
    }
    work.left = false;
  };
  await Promise.all([frames(), chores()]);
  return lost;
}

/** Latency of the lean levels over that of the portable ones behind them; the median of all levels. */
async function leanLatencyRatio(engine: Engine, points: readonly PointSpec[]): Promise<number> {
  const frame = largeFrame();
  const levels = points.length / 2;
  const ratios = points.map((): number[] => []);
  for (let round = 0; round < LATENCY_ROUNDS; round += 1) {
    for (let level = 0; level < levels; level += 1) {
      const times = await fastestOf(engine, [level, level + levels], frame);
      ratios[level]?.push((times[0] ?? Number.NaN) / (times[1] ?? Number.NaN));
    }
  }
  return median(ratios.slice(0, levels).map(median));
}

/** Of three runs each; the first one finds the other's caches. */
async function fastestOf(engine: Engine, pair: readonly number[], frame: Uint8Array): Promise<number[]> {
  const times: number[] = [];
  for (const point of pair) {
    let fastest = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 3; run += 1) fastest = Math.min(fastest, (await engine.run(point, frame)).runMs);
    times.push(fastest);
  }
  return times;
}
