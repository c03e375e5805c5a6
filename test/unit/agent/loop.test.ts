import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Frame, FrameSource } from '../../../agent/frames/source.ts';
import type { InferenceOutcome, InferenceRequest } from '../../../agent/runtime/inference.ts';
import { createFrameLoop, type LoopListener } from '../../../agent/runtime/loop.ts';
import type { Limit } from '../../../shared/protocol/requirement.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';
import { decisionFor, TWO_LEVELS } from '../../support/operation.ts';

/** What becomes of a frame: how long it takes, and on which point; without a point it is shed. */
interface Fate {
  readonly takesMs?: number;
  readonly point?: number;
  readonly gaveWay?: readonly Limit[];
  readonly fails?: true;
}

interface Run {
  readonly clock: ManualClock;
  readonly told: string[];
  readonly requests: InferenceRequest[];
  readonly leftMs: number[];
  readonly loop: ReturnType<typeof createFrameLoop>;
  /** Another loop takes the place of the one that runs. */
  handOver(): void;
  stop(): Promise<void>;
}

interface RunOptions {
  readonly fate?: (frame: number) => Fate;
  readonly frameRate?: () => number;
  readonly idle?: (leftMs: number, clock: ManualClock) => Promise<void>;
  /** Label of each frame. */
  readonly next?: (frame: number) => Partial<Frame>;
}

const PIXELS = new Uint8Array(1);

/** Runs a loop of 10 frames per second on a clock that the test owns. */
function looping(options: RunOptions = {}): Run {
  const clock = manualClock();
  const told: string[] = [];
  const requests: InferenceRequest[] = [];
  const leftMs: number[] = [];
  const { fate = (): Fate => ({ point: 0 }), frameRate = () => 10 } = options;
  const infer = async (request: InferenceRequest): Promise<InferenceOutcome> => {
    const { takesMs = 10, point, gaveWay = [], fails } = fate(requests.length);
    requests.push(request);
    await clock.sleep(takesMs);
    if (fails === true) throw new Error('no luck');
    const decision = decisionFor(point, { gaveWay });
    const nowMs = clock.monoMs();
    const common = { decision, requirement: {}, profile: TWO_LEVELS, budgetMs: 50, nowMs };
    const of = TWO_LEVELS[point ?? -1];
    if (of === undefined || point === undefined) return { kind: 'shed', ...common };
    const times = { latencyMs: nowMs - request.arrivedMs, runMs: takesMs, missed: false };
    return { kind: 'done', ...common, ...times, point: of, index: point, logits: Float32Array.of(0, 1) };
  };
  const listener: LoopListener = {
    inference: ({ point, correct }) => void told.push(`inference ${point.level} ${correct ?? 'unknown'}`),
    switched: (from, { decision }) => void told.push(`switch ${from.level} to ${decision.point}`),
    shed: () => void told.push('shed'),
    violation: (limit, state, { nowMs }) => void told.push(`${limit} ${state} at ${nowMs}`),
    skipped: (frames) => void told.push(`skipped ${frames}`),
    unreadable: (reason) => void told.push(`unreadable: ${reason}`),
    failed: (reason) => void told.push(`failed: ${reason}`),
  };
  let frame = 0;
  const frames: Pick<FrameSource, 'next'> = {
    next: async () => {
      frame += 1;
      return { name: 'test', pixels: PIXELS, ...options.next?.(frame - 1) };
    },
  };
  const makeLoop = () =>
    createFrameLoop({
      inferencer: { infer, isIdle: () => true, waiting: () => 0 },
      frames,
      clock,
      frameRate,
      listener,
      idle: async (left) => {
        leftMs.push(left);
        await options.idle?.(left, clock);
      },
    });
  let loop = makeLoop();
  let stop = new AbortController();
  let ended = loop.run(stop.signal);
  return {
    clock,
    told,
    requests,
    leftMs,
    loop,
    handOver: () => {
      stop.abort();
      stop = new AbortController();
      const { signal } = stop;
      ended = ended.then((from) => {
        loop = makeLoop();
        return loop.run(signal, from);
      });
    },
    stop: async () => {
      stop.abort();
      await clock.advance(1_000);
      await ended;
    },
  };
}

const arrivals = ({ requests }: Run): number[] => requests.map(({ arrivedMs }) => arrivedMs);

test('frames come at the frame rate in force, each with its label compared', async () => {
  let rate = 10;
  const run = looping({
    frameRate: () => rate,
    next: (frame) => (frame < 2 ? { label: 1 - frame } : {}),
  });
  await run.clock.advance(250);
  rate = 20;
  await run.clock.advance(149);
  expect(arrivals(run)).toEqual([0, 100, 200, 300, 350]);
  expect(run.told.slice(0, 3)).toEqual(['inference 0 true', 'inference 0 false', 'inference 0 unknown']);
  await run.stop();
});

test('a frame that finds the device busy has been waiting since it was due; frames that nobody saw are counted', async () => {
  const run = looping({ fate: (frame) => ({ point: 0, takesMs: [130, 10, 350][frame] ?? 10 }) });
  await run.clock.advance(690);
  // The first takes until 130: the second was due at 100. The third, of 200, takes until 550: 300 and 400 are
  // lost, that of 500 waits.
  expect(arrivals(run)).toEqual([0, 100, 200, 500, 600]);
  expect(run.told.filter((line) => line.startsWith('skipped'))).toEqual(['skipped 2']);
  await run.stop();
});

test('idle work is offered what is left until the next frame, nothing when that is due, and what it takes too long counts', async () => {
  const run = looping({
    fate: (frame) => ({ point: 0, takesMs: frame === 0 ? 130 : 10 }),
    idle: (left, clock) => (left === 60 ? clock.sleep(80) : Promise.resolve()),
  });
  await run.clock.advance(120);
  expect(run.loop.leftMs()).toBe(0);
  await run.clock.advance(30);
  expect(run.loop.leftMs()).toBe(50);
  expect(run.leftMs).toEqual([0, 60]);
  expect(run.loop.isDoingIdleWork()).toBe(true);
  await run.clock.advance(100);
  expect(arrivals(run)).toEqual([0, 100, 200]);
  expect(run.requests).toHaveLength(3);
  expect(run.loop.isDoingIdleWork()).toBe(false);
  await run.stop();
});

test('a frame that cannot be read and an inference that fails are told, and the loop goes on', async () => {
  const run = looping({
    fate: (frame) => (frame === 1 ? { fails: true } : { point: 0 }),
    next: (frame) => {
      if (frame === 0) throw new Error('camera unplugged');
      return {};
    },
  });
  await run.clock.advance(290);
  expect(run.told).toEqual(['unreadable: camera unplugged', 'inference 0 unknown', 'failed: no luck']);
  await run.clock.advance(100);
  expect(run.told.at(-1)).toBe('inference 0 unknown');
  await run.stop();
});

test('a switch is told after the first inference on the other point, with its decision; a shed frame is no switch', async () => {
  const points = [0, 1, undefined, 1, 0];
  const run = looping({
    fate: (frame) => {
      const point = points[frame];
      return point === undefined ? {} : { point };
    },
  });
  await run.clock.advance(450);
  expect(run.told).toEqual([
    'inference 0 unknown',
    'inference 1 unknown',
    'switch 0 to 1',
    'shed',
    'inference 1 unknown',
    'inference 0 unknown',
    'switch 1 to 0',
  ]);
  await run.stop();
});

test('a limit that gave way is told once, and its end when it has been met for two seconds', async () => {
  const violated = new Set([2, 3, 10, 40]);
  const run = looping({
    fate: (frame) => (violated.has(frame) ? { point: 0, gaveWay: ['latency'] } : { point: 0 }),
  });
  await run.clock.advance(7_000);
  expect(run.told.filter((line) => line.startsWith('latency'))).toEqual([
    'latency begins at 210',
    'latency ends at 3010',
    'latency begins at 4010',
    'latency ends at 6010',
  ]);
  await run.stop();
});

test('a loop that takes the place of another one answers the frame that is due next when it is due, whenever that is', async () => {
  const handOvers = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 8 });
  const property = fc.asyncProperty(handOvers, async (times) => {
    let taken = 0;
    const run = looping({
      fate: (frame) => ({ point: frame % 2, takesMs: 30 }),
      next: () => {
        taken += 1;
        return {};
      },
    });
    for (const atMs of [...new Set(times)].sort((a, b) => a - b)) {
      await run.clock.advance(atMs - run.clock.monoMs());
      run.handOver();
    }
    await run.clock.advance(1_000 - run.clock.monoMs() - 1);
    expect(arrivals(run)).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    expect(run.told.filter((line) => line.startsWith('skipped'))).toEqual([]);
    expect(taken).toBe(10);
    await run.stop();
  });
  await fc.assert(property, { numRuns: 40 });
});

test('a limit that cannot be met is told once, however many loops it outlives, and its end is that of the last', async () => {
  const violated = new Set([2, 3]);
  const run = looping({
    fate: (frame) => (violated.has(frame) ? { point: 0, gaveWay: ['latency'] } : { point: 0 }),
  });
  for (const ms of [250, 100, 300]) {
    await run.clock.advance(ms);
    run.handOver();
  }
  await run.clock.advance(3_000);
  expect(run.told.filter((line) => line.startsWith('latency'))).toEqual([
    'latency begins at 210',
    'latency ends at 2310',
  ]);
  await run.stop();
});
