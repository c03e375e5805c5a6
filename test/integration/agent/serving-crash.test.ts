import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test, vi } from 'vitest';
import { type Trial, tryInChild } from '../../../agent/quarantine/child-trial.ts';
import { type MarkedPoint, readSuspects } from '../../../agent/quarantine/marker.ts';
import { openQuarantine } from '../../../agent/quarantine/quarantine.ts';
import { judgeSuspects } from '../../../agent/quarantine/suspect.ts';
import { bringIntoService } from '../../../agent/serving.ts';
import { systemClock } from '../../../shared/clock.ts';
import { stateFolder } from '../../support/agent.ts';
import { childTrials } from '../../support/child-trials.ts';
import { configOf, writeFamily } from '../../support/engine-family.ts';
import { writeModel } from '../../support/onnx-models.ts';
import { temporaryFolder } from '../../support/temp.ts';

const TENSORS = {
  input: { name: 'image', shape: [1, 28, 28, 1] },
  output: { name: 'logits', shape: [1, 10] },
};
/** Matrix products of a model that takes a good part of a second, and of one that would take minutes. */
const SLOW_WORK = 100;
const HANGING_WORK = 20_000;

/** Runs a program beside the tests to its end; which signal that was, and what it printed. */
async function runProgram(
  name: string,
  args: readonly string[],
): Promise<{ signal?: string; stdout: string }> {
  const path = fileURLToPath(new URL(`../../support/${name}.ts`, import.meta.url));
  const execute: (file: string, args: string[]) => Promise<{ signal?: string; stdout: string }> =
    promisify(execFile);
  return await execute(process.execPath, [path, ...args]).catch(
    (error: { signal: string; stdout: string }) => error,
  );
}

test('an agent that dies twice of a level comes back without it; killed with nothing in flight it strikes nothing', async () => {
  await using folder = await stateFolder();
  const family = join(folder.path, 'offered');
  await writeFamily(family, [{}, { work: 3 }]);
  const die = async (end: 'abort' | 'idle') => {
    const { signal, stdout } = await runProgram('engine-crash', [folder.path, family, end]);
    return { signal, ...JSON.parse(stdout) };
  };
  expect(await die('idle')).toEqual({ signal: 'SIGKILL', sentence: null });
  expect(await die('abort')).toEqual({ signal: 'SIGABRT', sentence: null });
  expect(readSuspects(folder.path)[0]).toMatchObject({ point: { level: 1 }, death: 'crashed' });
  // It passes when it is tried again: a strike. It still serves, and dies of it again.
  expect(await die('abort')).toEqual({ signal: 'SIGABRT', sentence: 'struck' });

  await using stack = new AsyncDisposableStack();
  const serving = await bringIntoService(
    {
      config: configOf(folder.path, family),
      database: folder.open(),
      clock: systemClock,
      onFatal: (error) => {
        throw error;
      },
    },
    stack,
  );
  expect(serving.judgements[0]?.sentence).toBe('quarantined');
  expect(serving.profile.map(({ level }) => level)).toEqual([0]);
  expect(serving.quarantined).toMatchObject([
    { level: 1, reason: expect.stringMatching(/^twice within an hour/) },
  ]);
  await expect(serving.engine.run(0, new Uint8Array(28 * 28))).resolves.toHaveProperty('logits');
});

test('a run that hangs leaves word of its point and of the hang before the process is killed', async () => {
  await using folder = await temporaryFolder();
  const modelPath = join(folder.path, 'slow.onnx');
  await writeModel(modelPath, { work: SLOW_WORK });
  expect(await runProgram('engine-hang-marked', [folder.path, modelPath])).toMatchObject({
    signal: 'SIGKILL',
  });
  expect(readSuspects(folder.path)[0]).toMatchObject({
    death: 'hung',
    point: { level: 3, modelPath },
    machineRestarted: false,
  });

  // Tried again in a process of its own, which hangs as well.
  await using state = await stateFolder();
  const quarantine = openQuarantine({ database: state.open(), now: () => 1, runtime: '1' });
  const [judgement] = await judgeSuspects({
    stateDir: folder.path,
    quarantine,
    runtime: '1',
    retry: ({ point, input, output }) =>
      tryInChild([point], { input, output, clock: systemClock, timeoutMs: 200 }),
  });
  expect(judgement).toMatchObject({ sentence: 'quarantined', reason: expect.stringContaining('it hangs') });
  expect(quarantine.list()).toHaveLength(1);
});

test('a trial tells a crash and a hang of native code from a model that says no', async () => {
  await using folder = await temporaryFolder();
  const tryModel = async (work: number, timeoutMs: number): Promise<Trial> => {
    const modelPath = join(folder.path, `${work}.onnx`);
    await writeModel(modelPath, work < 0 ? { classes: 4 } : { work });
    const point: MarkedPoint = {
      pe: 'cpu',
      level: 0,
      modelPath,
      threads: 1,
      providers: ['cpu'],
      sha256: 'a'.repeat(64),
    };
    return await tryInChild([point], { ...TENSORS, clock: systemClock, timeoutMs });
  };
  expect(await tryModel(0, 30_000)).toEqual({ outcome: 'passed' });
  expect(await tryModel(-1, 30_000)).toMatchObject({ outcome: 'unfit' });
  const crashing = tryModel(HANGING_WORK, 30_000);
  const [pid] = await vi.waitUntil(async () => {
    const found = await childTrials();
    return found.length > 0 && found;
  });
  process.kill(pid ?? 0, 'SIGSEGV');
  expect(await crashing).toMatchObject({ outcome: 'died', reason: expect.stringContaining('SIGSEGV') });
});
