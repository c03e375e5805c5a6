import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  LEAD_MS,
  type RecordOptions,
  type Runner,
  recordTrace,
  writeTrace,
} from '../../../agent/record/record.ts';
import type { Profile } from '../../../agent/runtime/points.ts';
import { readTrace } from '../../../agent/simulate/trace.ts';
import { AppError } from '../../../shared/errors.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';
import { temporaryFolder } from '../../support/temp.ts';

const PROFILE: Profile = [
  { pe: 'cpu', level: 0, accuracy: 0.8, latencyMs: 1 },
  { pe: 'cpu', level: 1, accuracy: 0.9, latencyMs: 3, energyJ: 0.2 },
];

interface Run {
  readonly point: number;
  readonly atMs: number;
}

/** An engine whose runs take as long as they are told to, of the manual clock. */
function fakeEngine(clock: ManualClock, takesMs: (run: number, point: number) => number) {
  const runs: Run[] = [];
  const engine: Runner = {
    run: async (point) => {
      const totalMs = takesMs(runs.length, point);
      runs.push({ point, atMs: clock.monoMs() });
      await clock.sleep(totalMs);
      return { logits: new Float32Array(), runMs: totalMs, totalMs };
    },
  };
  return { engine, runs };
}

function optionsFor(clock: ManualClock, change: Partial<RecordOptions> = {}): RecordOptions {
  return {
    periodMs: 10,
    deadlineMs: 8,
    frames: 4,
    nextFrame: async () => new Uint8Array(1),
    clock,
    warmUpFrames: 0,
    ...change,
  };
}

/** Lets time pass until the work is done. */
async function inTime<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  const settled = work.then(
    () => true,
    () => true,
  );
  while (!(await Promise.race([settled, clock.advance(1).then(() => false)])));
  return await work;
}

describe('recording a trace', () => {
  it('runs every level in every frame, spread over its period, in orders that change', async () => {
    const clock = manualClock();
    const { engine, runs } = fakeEngine(clock, (run, point) => point + 1 + run / 1_000);
    const starts: number[] = [];
    const options = optionsFor(clock, { frames: 20, onStart: (startMs) => starts.push(startMs) });
    const trace = await inTime(clock, recordTrace(engine, PROFILE, options, new AbortController().signal));
    expect(trace).toMatchObject({
      periodMs: 10,
      deadlineMs: 8,
      levels: [
        { pe: 'cpu', accuracy: 0.8, latencyMs: 1 },
        { pe: 'cpu', accuracy: 0.9, latencyMs: 3, energyJ: 0.2 },
      ],
    });
    expect(trace.arrivalMs).toBeUndefined();
    expect(starts).toEqual([LEAD_MS]);
    expect(runs.map(({ atMs }) => atMs - LEAD_MS)).toEqual(Array.from({ length: 40 }, (_, run) => run * 5));
    const firsts = trace.latencyMs.map((row, frame) => {
      const at = [2 * frame, 2 * frame + 1].map((run) => runs[run]?.point);
      expect(at.toSorted()).toEqual([0, 1]);
      expect(row[at[0] ?? 0]).toBeCloseTo((at[0] ?? 0) + 1 + (2 * frame) / 1_000);
      expect(row[at[1] ?? 0]).toBeCloseTo((at[1] ?? 0) + 1 + (2 * frame + 1) / 1_000);
      return at[0];
    });
    expect(new Set(firsts)).toEqual(new Set([0, 1]));
  });

  it('warms up first, and lets something else take its turn', async () => {
    const clock = manualClock();
    const { engine, runs } = fakeEngine(clock, () => 0.5);
    const turns: number[] = [];
    const options = optionsFor(clock, {
      warmUpFrames: 3,
      frames: 3,
      alongside: [async (_, frame) => void turns.push(frame)],
    });
    const trace = await inTime(clock, recordTrace(engine, PROFILE, options, new AbortController().signal));
    expect(runs).toHaveLength(3 * 2 + 3 * 2);
    expect(turns).toEqual([0, 1, 2]);
    expect(trace.latencyMs).toHaveLength(3);
  });

  it('leaves frames out whose time has passed, and says when the others arrived', async () => {
    const clock = manualClock();
    const { engine } = fakeEngine(clock, (run) => (run === 0 ? 25 : 1));
    const options = optionsFor(clock, { frames: 5 });
    const trace = await inTime(clock, recordTrace(engine, PROFILE, options, new AbortController().signal));
    expect(trace.arrivalMs).toEqual([0, 20, 30, 40]);
    expect(trace.latencyMs).toHaveLength(4);
  });

  it('keeps what it has when it is stopped, and says so when that is nothing', async () => {
    const clock = manualClock();
    const stopped = new AbortController();
    const { engine } = fakeEngine(clock, (run) => {
      if (run === 3) stopped.abort();
      return 1;
    });
    const trace = await inTime(clock, recordTrace(engine, PROFILE, optionsFor(clock), stopped.signal));
    expect(trace.latencyMs.length).toBeLessThanOrEqual(2);
    const again = recordTrace(engine, PROFILE, optionsFor(clock), stopped.signal);
    await expect(inTime(clock, again)).rejects.toMatchObject({ code: 'partial' });
  });

  it('refuses a period without room for all levels, and a number of frames without bounds', async () => {
    const clock = manualClock();
    const { engine } = fakeEngine(clock, () => 1);
    const record = (change: Partial<RecordOptions>) =>
      recordTrace(engine, PROFILE, optionsFor(clock, change), new AbortController().signal);
    await expect(record({ periodMs: 4 })).rejects.toThrow('record with at least 5 ms between frames');
    await expect(record({ frames: 0 })).rejects.toThrow('expected 1 to 1000000');
    await expect(record({ frames: 1e9 })).rejects.toMatchObject({ code: 'config' });
  });

  it('ends with the reason when a level fails', async () => {
    const clock = manualClock();
    const { engine } = fakeEngine(clock, (_, point) => {
      if (point === 1) throw new AppError('timeout', 'hangs');
      return 1;
    });
    const work = recordTrace(engine, PROFILE, optionsFor(clock), new AbortController().signal);
    await expect(inTime(clock, work)).rejects.toThrow('the recording ends at operating point 1: hangs');
  });
});

describe('a written trace', () => {
  it('is one that the simulator reads, and nothing else is left in the folder', async () => {
    await using folder = await temporaryFolder();
    const clock = manualClock();
    const { engine } = fakeEngine(clock, () => 1);
    const trace = await inTime(
      clock,
      recordTrace(engine, PROFILE, optionsFor(clock), new AbortController().signal),
    );
    const path = join(folder.path, 'trace.json');
    await writeTrace(path, trace);
    expect(await readTrace(path)).toEqual(trace);
    expect(await readdir(folder.path)).toEqual(['trace.json']);
    await expect(writeTrace(join(folder.path, 'none', 'trace.json'), trace)).rejects.toMatchObject({
      code: 'system',
    });
  });
});
