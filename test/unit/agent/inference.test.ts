import { expect, test } from 'vitest';
import { createInferencer, type InferenceRequest } from '../../../agent/runtime/inference.ts';
import type { Decision, Situation } from '../../../agent/runtime/policy.ts';
import { AppError } from '../../../shared/errors.ts';
import { manualClock } from '../../support/clock.ts';
import { decisionFor, fakeEngine, scriptedPolicy, TWO_LEVELS } from '../../support/operation.ts';

const PIXELS = new Uint8Array(4);
const IN_FORCE = { latencyMs: 50, accuracyFloor: 0.5 };

function inferring(choose: (situation: Situation) => Decision = () => decisionFor(1)) {
  const clock = manualClock();
  const engine = fakeEngine(clock);
  const policy = scriptedPolicy(choose);
  const unusable: string[] = [];
  const usable: number[] = [];
  const inferencer = createInferencer({
    engine,
    policy,
    profile: () => TWO_LEVELS,
    requirement: () => IN_FORCE,
    clock,
    onUnusable: (index, reason) => void unusable.push(`${index}: ${reason}`),
    onUsable: (index) => void usable.push(index),
  });
  const infer = (request: Partial<InferenceRequest> = {}) =>
    inferencer.infer({ pixels: PIXELS, arrivedMs: clock.monoMs(), ...request });
  return { clock, engine, policy, inferencer, infer, unusable, usable };
}

/** The first point that can be used. */
const firstUsable = ({ usable }: Situation): Decision => {
  const point = usable?.indexOf(true) ?? 0;
  return decisionFor(point < 0 ? undefined : point);
};

const runFailed = (): Error => new AppError('system', 'out of memory');

test('requests take turns in their order, and time that one waits counts for its latency but not for its run', async () => {
  const { clock, policy, infer, inferencer } = inferring();
  const both = Promise.all([infer(), infer()]);
  expect(inferencer.isIdle()).toBe(false);
  expect(inferencer.waiting()).toBe(1);
  await clock.advance(100);
  expect(await both).toMatchObject([
    { kind: 'done', index: 1, point: TWO_LEVELS[1], latencyMs: 20, runMs: 20, missed: false, nowMs: 20 },
    { kind: 'done', index: 1, latencyMs: 40, runMs: 20, missed: false, nowMs: 40 },
  ]);
  expect(policy.asked.map(({ nowMs, arrivedMs }) => [nowMs, arrivedMs])).toEqual([
    [0, 0],
    [20, 0],
  ]);
  expect(policy.seen).toMatchObject([
    { kind: 'inference', point: 1, latencyMs: 20, startedMs: 0, nowMs: 20, budgetMs: 50 },
    { kind: 'inference', point: 1, latencyMs: 20, startedMs: 20, nowMs: 40, budgetMs: 50 },
  ]);
  expect(inferencer.isIdle()).toBe(true);
  expect(inferencer.waiting()).toBe(0);
});

test('a request lays its own requirement over the one in force, and its deadline over the latency budget', async () => {
  const { clock, policy, infer } = inferring();
  const done = Promise.all([
    infer({ requirement: { accuracyFloor: 0.85 } }),
    infer({ requirement: { latencyMs: 30 }, deadlineMs: 35 }),
    infer(),
  ]);
  await clock.advance(100);
  const [first, second, third] = await done;
  expect(policy.asked[0]).not.toHaveProperty('deadlineMs');
  expect(policy.asked).toMatchObject([
    { requirement: { latencyMs: 50, accuracyFloor: 0.85 } },
    { requirement: { latencyMs: 30, accuracyFloor: 0.5 }, deadlineMs: 35 },
    { requirement: IN_FORCE },
  ]);
  expect([first, second, third].map(({ budgetMs }) => budgetMs)).toEqual([50, 35, 50]);
  expect([first, second, third].map((outcome) => outcome.kind === 'done' && outcome.missed)).toEqual([
    false,
    true,
    true,
  ]);
});

test('a frame that is shed runs nothing and teaches nothing', async () => {
  const { engine, policy, infer } = inferring(() => decisionFor(undefined, { cause: 'too-late' }));
  expect(await infer()).toMatchObject({
    kind: 'shed',
    decision: { cause: 'too-late' },
    requirement: IN_FORCE,
  });
  expect([engine.done, policy.seen]).toEqual([[], []]);
});

test('a point that is not loaded is not usable', async () => {
  const { clock, engine, policy, infer } = inferring(firstUsable);
  engine.warm.delete(0);
  const done = infer();
  await clock.advance(100);
  expect(await done).toMatchObject({ index: 1 });
  expect(policy.asked[0]?.usable).toEqual([false, true]);
});

test('a point whose runs fail three times in a row is taken out and told once; a failure now and then is none', async () => {
  const { clock, engine, infer, unusable } = inferring(firstUsable);
  let runs = 0;
  engine.broken.set('run 0', () => {
    runs += 1;
    return runs === 3 ? undefined : runFailed();
  });
  const used: (number | 'failed')[] = [];
  for (let frame = 0; frame < 8; frame += 1) {
    const done = infer().then(
      (outcome) => void used.push(outcome.kind === 'done' ? outcome.index : -1),
      () => void used.push('failed'),
    );
    await clock.advance(100);
    await done;
  }
  expect(used).toEqual(['failed', 'failed', 0, 'failed', 'failed', 'failed', 1, 1]);
  expect(unusable).toEqual(['0: out of memory']);
});

test('when every point fails they are tried all the same, and one that runs again is let in and told', async () => {
  const { clock, engine, infer, unusable, usable } = inferring(firstUsable);
  let isBroken = true;
  for (const point of [0, 1]) engine.broken.set(`run ${point}`, () => (isBroken ? runFailed() : undefined));
  const attempt = async (): Promise<unknown> => {
    const done = infer().catch(() => 'failed');
    await clock.advance(100);
    return await done;
  };
  for (let frame = 0; frame < 7; frame += 1) expect(await attempt()).toBe('failed');
  expect(unusable).toHaveLength(2);
  isBroken = false;
  expect(await attempt()).toMatchObject({ index: 0 });
  expect(usable).toEqual([0]);
});

test('an engine that is full is not the fault of the point', async () => {
  const { clock, engine, infer, unusable } = inferring(firstUsable);
  engine.broken.set('run 0', () => new AppError('conflict', 'all slots are taken'));
  for (let frame = 0; frame < 4; frame += 1) {
    const done = infer().catch((error: unknown) => error);
    await clock.advance(100);
    expect(await done).toMatchObject({ code: 'conflict' });
  }
  expect(unusable).toEqual([]);
});

test('a request is refused when too many wait, a failed one holds up no other, and all are answered', async () => {
  const { clock, engine, infer, inferencer } = inferring();
  let runs = 0;
  engine.broken.set('run 1', () => {
    runs += 1;
    return runs === 2 ? runFailed() : undefined;
  });
  const accepted = Array.from({ length: 64 }, () => infer().catch(() => 'failed'));
  await expect(infer()).rejects.toMatchObject({ code: 'conflict' });
  await clock.advance(64 * 20);
  const outcomes = await Promise.all(accepted);
  expect(outcomes.filter((outcome) => outcome === 'failed')).toHaveLength(1);
  expect(inferencer.isIdle()).toBe(true);
  const next = infer();
  await clock.advance(20);
  await expect(next).resolves.toHaveProperty('kind', 'done');
});
