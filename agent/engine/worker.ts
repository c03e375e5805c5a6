/**
 * The thread that owns the sessions. It does one thing at a time, in the order of its commands, so that
 * after `stopped` no native call is in flight: ending the thread during one would abort the process.
 * Between commands it sleeps in `Atomics.wait`; it takes no messages, it only sends them.
 */
import { availableParallelism } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, invariant } from '../../shared/errors.ts';
import { type Session, Tensor } from '../../shared/onnx.ts';
import {
  type Answer,
  type FromWorker,
  isCpuOnly,
  nameOfPoint,
  readCommand,
  ringOver,
  type Slot,
  STOP,
  type WorkerSetup,
} from './protocol.ts';
import { openPoint } from './session.ts';

/**
 * How long the thread looks out for the next command before it sleeps. Waking a sleeping core costs 40 to
 * 100 us and cold caches; who sends frame after frame sends the next one within this time. With frames far
 * apart it costs this much of a core once a frame. A single core is better left to the main thread.
 */
const SPIN_MS = availableParallelism() > 1 ? 0.1 : 0;

const WARM_UP_RUNS = 3;

const port = parentPort;
invariant(port !== null, 'the inference worker runs in a worker thread');
const setup: WorkerSetup = workerData;
const { models } = setup;
const ring = ringOver(setup);
const bindings = ring.slots.map(bind);
const sessions = new Map<number, Session>();

await serve();
answer({ kind: 'stopped' });

/** Tensors over a slot's memory, made once: the library reads and writes in place. */
function bind({ frame, logits }: Slot) {
  return {
    feeds: { [models.input.name]: new Tensor('uint8', frame, models.input.shape) },
    fetches: { [models.output.name]: new Tensor('float32', logits, models.output.shape) },
  };
}

async function serve(): Promise<void> {
  for (let count = 0; ; count += 1) {
    awaitCommand(count);
    const command = ring.commands[count % ring.commands.length];
    if (command === undefined || command === STOP) break;
    const outcome = await obey(command, count % bindings.length);
    // Before the answer: who watches over the commands sees a finished one even when its answer is on the way.
    Atomics.add(ring.finished, 0, 1);
    answer(outcome);
  }
  for (const session of sessions.values()) await session.release();
}

/** Returns when more than `count` commands have been given. */
function awaitCommand(count: number): void {
  const none = count | 0;
  const spinEndMs = performance.now() + SPIN_MS;
  while (Atomics.load(ring.given, 0) === none) {
    if (performance.now() >= spinEndMs) Atomics.wait(ring.given, 0, none);
  }
}

async function obey(command: number, slot: number): Promise<Answer> {
  const { deed, point } = readCommand(command);
  try {
    if (deed === 'run') return await run(point, slot);
    return deed === 'load' ? await load(point, slot) : await unload(point);
  } catch (error) {
    return { kind: 'failed', message: describeError(error) };
  }
}

async function run(point: number, slot: number): Promise<number> {
  const session = sessions.get(point);
  const binding = bindings[slot];
  const startMs = performance.now();
  invariant(
    session !== undefined && binding !== undefined,
    `point ${point} is loaded, there is a slot ${slot}`,
  );
  await session.run(binding.feeds, binding.fetches);
  return performance.now() - startMs;
}

async function load(point: number, slot: number): Promise<Answer> {
  const spec = models.points[point];
  invariant(spec !== undefined && !sessions.has(point), `point ${point} is there to be loaded`);
  const { session, fallback } = await openPoint(spec, models);
  if (!isCpuOnly(spec)) await warmUp(session, { what: nameOfPoint(spec), slot });
  sessions.set(point, session);
  return { kind: 'loaded', ...(fallback === undefined ? {} : { fallback }) };
}

/**
 * Libraries of GPUs compile and tune in their first runs, for seconds. On the CPU a first run is 1 to 2 ms
 * slower than others, by the pages that it touches: running it ahead takes longer than it saves.
 */
async function warmUp(session: Session, { what, slot }: { what: string; slot: number }): Promise<void> {
  // A command that is no run has a slot too; nobody reads its memory.
  const binding = bindings[slot];
  invariant(binding !== undefined, `there is a slot ${slot}`);
  try {
    for (let count = 0; count < WARM_UP_RUNS; count += 1) await session.run(binding.feeds, binding.fetches);
  } catch (cause) {
    await session.release();
    throw new Error(`${what}: its first run failed: ${describeError(cause)}`, { cause });
  }
}

async function unload(point: number): Promise<Answer> {
  await sessions.get(point)?.release();
  sessions.delete(point);
  return { kind: 'unloaded' };
}

function answer(message: FromWorker): void {
  port?.postMessage(message);
}
