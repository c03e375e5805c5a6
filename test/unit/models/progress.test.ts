import { expect, test } from 'vitest';
import { createProgress, type ProgressOptions } from '../../../models/progress.ts';
import { manualClock } from '../../support/clock.ts';

function reporter(options: Partial<ProgressOptions> & { isTTY?: boolean; columns?: number } = {}) {
  const written: string[] = [];
  const clock = manualClock();
  const { isTTY = false, columns = 200, ...rest } = options;
  const stream = { isTTY, columns, write: (text: string) => written.push(text) };
  return { written, clock, progress: createProgress({ title: 'Evaluating', stream, clock, ...rest }) };
}

test('a terminal has one line that is rewritten, with rate and time left', async () => {
  const { written, clock, progress } = reporter({ isTTY: true });
  progress.update(0, 400);
  await clock.advance(1_000);
  progress.update(100, 400, 'level 2');
  await clock.advance(50);
  progress.update(101, 400);
  await clock.advance(2_950);
  progress.update(400, 400);
  progress.done();
  expect(written).toEqual([
    '\r\x1b[KEvaluating: 0/400 (0 %)',
    '\r\x1b[KEvaluating: 100/400 (25 %), 100/s, 3s left, level 2',
    '\r\x1b[KEvaluating: 400/400 (100 %), 100/s, took 4s',
    '\n',
  ]);
});

test('a line that does not fit the terminal is cut', () => {
  const { written, progress } = reporter({ isTTY: true, columns: 12 });
  progress.update(1, 2);
  expect(written).toEqual(['\r\x1b[KEvaluating:']);
});

test('elsewhere a line is written for every tenth, and none for what was done before', async () => {
  const { written, clock, progress } = reporter();
  for (let done = 0; done <= 1_000; done += 1) {
    progress.update(done, 1_000);
    await clock.advance(0);
    if (done === 500) await clock.advance(10_000);
  }
  progress.done();
  expect(written).toHaveLength(10);
  expect(written[0]).toBe('Evaluating: 100/1000 (10 %)\n');
  expect(written[9]).toBe('Evaluating: 1000/1000 (100 %), 50/s, took 10s\n');
});

test('work that is taken up again is rated by what is done now', async () => {
  const { written, clock, progress } = reporter();
  progress.update(50, 100);
  await clock.advance(10_000);
  progress.update(60, 100);
  expect(written).toEqual(['Evaluating: 50/100 (50 %)\n', 'Evaluating: 60/100 (60 %), 1/s, 40s left\n']);
});

test('what was recorded is not rated, however it comes in', async () => {
  const { written, clock, progress } = reporter();
  for (let done = 1; done <= 50; done += 1) {
    progress.update(done, 100);
    await clock.advance(1);
  }
  await clock.advance(9_999);
  progress.update(60, 100);
  expect(written.at(-1)).toBe('Evaluating: 60/100 (60 %), 1/s, 40s left\n');
});
