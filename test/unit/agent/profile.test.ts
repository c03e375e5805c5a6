import { expect, test } from 'vitest';
import type { Engine } from '../../../agent/engine/engine.ts';
import { profilePoints } from '../../../agent/engine/profile.ts';

const FRAME = new Uint8Array(4);

/** An engine whose runs take what a script says, in the order in which they are asked for. */
function scripted(totalsMs: Readonly<Record<number, readonly number[]>>) {
  const asked: number[] = [];
  const taken = new Map<number, number>();
  const close = async (): Promise<void> => undefined;
  const engine: Engine = {
    close,
    [Symbol.asyncDispose]: close,
    run: async (point) => {
      asked.push(point);
      const turn = taken.get(point) ?? 0;
      taken.set(point, turn + 1);
      const totalMs = totalsMs[point]?.[turn] ?? Number.NaN;
      return { logits: new Float32Array(1), runMs: totalMs, totalMs };
    },
  };
  return { engine, asked };
}

test('a profile is the median of each point, which an outlier does not move', async () => {
  const { engine } = scripted({ 0: [1, 90, 2], 1: [7, 5, 6] });
  expect(await profilePoints(engine, 2, { rounds: 3, frame: FRAME })).toEqual([2, 6]);
});

test('the points take turns, with a pause before every run', async () => {
  const { engine, asked } = scripted({ 0: [1, 1], 1: [1, 1] });
  let pauses = 0;
  const pause = async (): Promise<void> => {
    pauses += 1;
  };
  await profilePoints(engine, 2, { rounds: 2, frame: FRAME, pause });
  expect(asked).toEqual([0, 1, 0, 1]);
  expect(pauses).toBe(4);
});
