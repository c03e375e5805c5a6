/**
 * The process in which models are measured: what they add to memory can only be told where nothing else
 * was, and native code may crash or hang there without harm.
 */

import { systemClock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import { energyPerInference } from '../../shared/measure/energy.ts';
import { measureInTurns, pacer, timed } from '../../shared/measure/turns.ts';
import { sayToParent } from '../../shared/native-child-side.ts';
import { createSessionFromBytes, servingOptions, Tensor } from '../../shared/onnx.ts';
import { openPowerMeter } from '../../shared/power/open.ts';
import type {
  Footprint,
  FootprintTask,
  FromProfiler,
  Measured,
  MeasureTask,
  ProfileTask,
} from './protocol.ts';
import { openRunner, PROVIDERS, type Runner } from './runner.ts';

/** An identity of one float: the library sets itself up with the first session, whatever its model. */
const TINY_MODEL = 'CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0=';
/** The first runs take the memory that the session then keeps. */
const FIRST_RUNS = 3;

const clock = systemClock;
const orphaned = new AbortController();

process.once('message', (task: ProfileTask) => {
  void report(task);
});
// The parent is gone: nobody waits for the figures.
process.once('disconnect', () => orphaned.abort());

async function report(task: ProfileTask): Promise<void> {
  try {
    await tell(await resultOf(task));
  } catch (error) {
    if (orphaned.signal.aborted) return;
    await tell({ kind: 'failed', message: describeError(error) });
  }
  process.disconnect();
}

async function resultOf(task: ProfileTask): Promise<FromProfiler> {
  switch (task.kind) {
    case 'provider':
      await runTiny(PROVIDERS[task.pe]);
      return { kind: 'present' };
    case 'footprint':
      return { kind: 'footprint', footprint: await footprintOf(task) };
    case 'measure':
      return { kind: 'measured', measured: await measure(task) };
  }
}

function tell(message: FromProfiler): Promise<void> {
  return sayToParent(message);
}

async function runTiny(providers: readonly string[], threads = 1): Promise<void> {
  const model = Buffer.from(TINY_MODEL, 'base64');
  const tiny = await createSessionFromBytes(model, servingOptions(providers, threads));
  await tiny.run({ x: new Tensor('float32', new Float32Array(1), [1]) });
}

async function footprintOf(task: FootprintTask): Promise<Footprint> {
  await runTiny(PROVIDERS.cpu, task.threads);
  const before = residentBytes();
  const startMs = clock.monoMs();
  const { run } = await openRunner(task.model, task);
  const createMs = clock.monoMs() - startMs;
  for (let turn = 0; turn < FIRST_RUNS; turn += 1) await run(turn);
  return { createMs, residentBytes: Math.max(0, residentBytes() - before) };
}

/** Without what JavaScript has left lying about; the parent starts this process so that `gc` is there. */
function residentBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

async function measure(task: MeasureTask): Promise<Measured[]> {
  const { rounds, warmUp, periodMs } = task;
  const { signal } = orphaned;
  const runners: Runner[] = [];
  for (const model of task.models) {
    await tell({ kind: 'progress', text: `opening ${model.name} on ${model.pe}` });
    runners.push(await openRunner(model, task));
  }
  const latenciesMs = await measureInTurns(
    runners.map(({ run }) => timed(run, clock)),
    {
      rounds,
      warmUp,
      pace: pacer(clock, periodMs, signal),
      signal,
      onRound: async () => await tell({ kind: 'progress', text: 'latency' }),
    },
  );
  const meter = await openPowerMeter(task.sysRoot);
  const measured: Measured[] = [];
  for (const [index, { run }] of runners.entries()) {
    await tell({ kind: 'progress', text: `energy of ${task.models[index]?.name}` });
    const energy = await energyPerInference({
      meter,
      run,
      pace: pacer(clock, periodMs, signal),
      windowMs: task.energyWindowMs,
      clock,
      signal,
    });
    measured.push({ latenciesMs: latenciesMs[index] ?? [], energy });
  }
  return measured;
}
