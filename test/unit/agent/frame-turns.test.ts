import { expect, test } from 'vitest';
import type { FrameLoop } from '../../../agent/runtime/loop.ts';
import { createFrameTurns } from '../../../agent/service/frame-turns.ts';
import { createGaps } from '../../../agent/service/gaps.ts';
import { AppError } from '../../../shared/errors.ts';
import { manualClock } from '../../support/clock.ts';

const NEVER = new AbortController().signal;

/** A loop that answers until it is told to leave, and then takes a while. */
function loopOf(name: string, told: string[]): Pick<FrameLoop, 'run'> {
  return {
    run: async (signal, from) => {
      told.push(`${name} from ${from?.dueMs ?? 'now'}`);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await Promise.resolve();
      told.push(`${name} left`);
      return { dueMs: 40, violatedMs: new Map() };
    },
  };
}

test('what is done between two frames is done after one loop has left, and the next goes on where it was', async () => {
  const told: string[] = [];
  let current = loopOf('old', told);
  const turns = createFrameTurns(() => current);
  const stop = new AbortController();
  const running = turns.run(stop.signal);
  await turns.between(() => {
    told.push('between');
    current = loopOf('new', told);
  });
  await Promise.resolve();
  stop.abort();
  await running;
  expect(told).toEqual(['old from now', 'old left', 'between', 'new from 40', 'new left']);
});

test('while no frames are answered it is done at once; what fails is told to who asked, and the frames go on', async () => {
  const told: string[] = [];
  const turns = createFrameTurns(() => loopOf('one', told));
  await turns.between(() => void told.push('at once'));
  const stop = new AbortController();
  const running = turns.run(stop.signal);
  const failing = turns.between(() => {
    throw new AppError('conflict', 'not now');
  });
  await expect(failing).rejects.toThrow('not now');
  expect(turns.isRunning()).toBe(true);
  stop.abort();
  await running;
  expect(told).toEqual(['at once', 'one from now', 'one left', 'one from 40', 'one left']);
});

test('an agent that stops does nothing between frames any more', async () => {
  const turns = createFrameTurns(() => loopOf('one', []));
  const stop = new AbortController();
  const running = turns.run(stop.signal);
  const waiting = turns.between(() => undefined);
  stop.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'conflict' });
  await running;
});

test('a loop that fails is started again with what was asked for meanwhile', async () => {
  const told: string[] = [];
  let fails = true;
  const good = loopOf('good', told);
  const turns = createFrameTurns(() => ({
    run: async (signal, from) => {
      if (!fails) return await good.run(signal, from);
      fails = false;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      throw new Error('out of luck');
    },
  }));
  const stop = new AbortController();
  const failing = turns.run(stop.signal);
  const waiting = turns.between(() => void told.push('between'));
  await expect(failing).rejects.toThrow('out of luck');
  const running = turns.run(stop.signal);
  await waiting;
  stop.abort();
  await running;
  expect(told).toEqual(['between', 'good from now', 'good left']);
});

test('a gap is waited for until one is long enough, though not for ever, and never while no frames are answered', async () => {
  const clock = manualClock();
  const frames = { leftMs: 3, isIdleWork: false, isRunning: true };
  const awaitGap = createGaps(clock, () =>
    frames.isRunning ? { leftMs: () => frames.leftMs, isDoingIdleWork: () => frames.isIdleWork } : undefined,
  );
  const ended: string[] = [];
  const begin = (name: string) => {
    void awaitGap(10, NEVER).then(() => ended.push(`${name} at ${clock.monoMs()}`));
  };
  begin('first');
  await clock.advance(20);
  frames.leftMs = 16;
  frames.isIdleWork = true;
  await clock.advance(20);
  expect(ended).toEqual([]);
  frames.isIdleWork = false;
  await clock.advance(10);
  expect(ended).toEqual(['first at 42']);
  frames.leftMs = 0;
  begin('patient');
  await clock.advance(200);
  expect(ended.at(-1)).toBe('patient at 150');
  frames.isRunning = false;
  begin('alone');
  await clock.advance(0);
  expect(ended.at(-1)).toBe('alone at 250');
  await expect(awaitGap(0, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});
