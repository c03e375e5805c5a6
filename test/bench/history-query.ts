import { type History, openHistory } from '../../controller/history/history.ts';
import { ROW_MS } from '../../controller/history/read/plan.ts';
import type { TelemetryQuestion } from '../../controller/history/read/query.ts';
import { invariant } from '../../shared/errors.ts';
import { median, quantile } from '../../shared/statistics.ts';
import { temporaryFolder } from '../support/temp.ts';
import { FLEET_END, makeFleetHistory } from './history-fleet.ts';
import { deviceName } from './history-windows.ts';
import { type Figure, judged } from './report.ts';

const DEVICES = 1_000;
/** Against how few devices growth is measured. */
const FEW_DEVICES = 10;
const QUESTIONS = 50;
/** Before those that count: the code is cold, and the pages are not in memory. */
const UNCOUNTED = 3;

/** A question that is asked again and again, each time a little differently. */
interface Asked {
  readonly name: string;
  readonly barMs: number;
  readonly question: (index: number, devices: number) => Pick<TelemetryQuestion, 'query' | 'devices'>;
  /** Points of the answer. */
  readonly points: number;
}

const DAY = { since: FLEET_END - ROW_MS.day, until: FLEET_END } as const;
const WEEK = { since: FLEET_END - 7 * ROW_MS.day, until: FLEET_END } as const;
const P99 = { metric: 'latencyMs', aggregate: 'p99' } as const;

const ASKED: readonly Asked[] = [
  {
    name: 'query_fleet_week',
    barMs: 100,
    points: 7 * 24,
    question: () => ({ query: { ...P99, ...WEEK, bucketMs: ROW_MS.hour }, devices: undefined }),
  },
  {
    name: 'query_device_day',
    barMs: 20,
    points: 24 * 12,
    // Buckets that are shorter than an hour: every minute of the day is read.
    question: (index, devices) => ({
      query: { ...P99, ...DAY, bucketMs: 5 * ROW_MS.minute },
      devices: [deviceName((index * 37) % devices)],
    }),
  },
  {
    name: 'query_selector_day',
    barMs: 1_000,
    points: 24,
    // All but one: the most that is not the whole fleet, for which there are rows already.
    question: (index, devices) => ({
      query: { ...P99, ...DAY, bucketMs: ROW_MS.hour },
      devices: Array.from({ length: devices }, (_, device) => deviceName(device)).filter(
        (_, device) => device !== index % devices,
      ),
    }),
  },
];

/** How long questions take, in a history of `DEVICES` devices and of few, through the reader's thread. */
export async function queryFigures(): Promise<Figure[]> {
  const few = await timesOf(FEW_DEVICES);
  const many = await timesOf(DEVICES);
  return ASKED.flatMap(({ name, barMs }) => {
    const [ofFew = [], ofMany = []] = [few.get(name), many.get(name)];
    return [
      judged({ name: `${name}_ms`, value: quantile(ofMany, 0.99), unit: 'ms', better: 'lower', bar: barMs }),
      { name: `${name}_ms_few`, value: quantile(ofFew, 0.99), unit: 'ms', better: 'lower' },
      {
        name: `${name}_growth`,
        value: median(ofMany) / median(ofFew),
        unit: 'ratio',
        better: 'lower',
      } as const,
    ];
  });
}

/** Times of each question by its name, milliseconds. */
async function timesOf(devices: number): Promise<Map<string, number[]>> {
  await using folder = await temporaryFolder();
  makeFleetHistory(folder.path, devices);
  await using history = await openHistory({
    stateDir: folder.path,
    now: () => FLEET_END,
    onFault: (error) => {
      throw error;
    },
  });
  const times = new Map<string, number[]>();
  for (const asked of ASKED) times.set(asked.name, await ask(history, asked, devices));
  return times;
}

async function ask(history: History, { name, question, points }: Asked, devices: number): Promise<number[]> {
  const timesMs: number[] = [];
  for (let index = 0; index < UNCOUNTED + QUESTIONS; index += 1) {
    const asked = { ...question(index, devices), now: FLEET_END };
    const startMs = performance.now();
    const { series } = await history.query(asked);
    timesMs.push(performance.now() - startMs);
    const found = series[0]?.points.length;
    invariant(found === points, `the answer to ${name} has ${points} points, found ${found}`);
  }
  return timesMs.slice(UNCOUNTED);
}
