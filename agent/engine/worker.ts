/**
 * The thread that owns the sessions. It does one thing at a time, in the order of its commands, so that
 * after `stopped` no native call is in flight: ending the thread during one would abort the process.
 * Between commands it sleeps in `Atomics.wait`; it takes no messages, it only sends them.
 */
import { availableParallelism } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, invariant } from '../../shared/errors.ts';
import { type Session, Tensor } from '../../shared/onnx.ts';
import { type FromWorker, nameOfPoint, ringOver, type Slot, STOP, type WorkerSetup } from './protocol.ts';
import { openPoint } from './session.ts';

/** The first runs of a session are slower: they allocate. */
const WARM_UP_RUNS = 3;

/**
 * How long the thread looks out for the next command before it sleeps. Waking a sleeping core costs 40 to
 * 100 us and cold caches; who sends frame after frame sends the next one within this time. With frames far
 * apart it costs this much of a core once a frame. A single core is better left to the main thread.
 */
const SPIN_MS = availableParallelism() > 1 ? 0.1 : 0;

const port = parentPort;
invariant(port !== null, 'the inference worker runs in a worker thread');
const setup: WorkerSetup = workerData;
const { models } = setup;
const ring = ringOver(setup);
const bindings = ring.slots.map(bind);
const sessions: Session[] = [];

if (await start()) await serve();
answer({ kind: 'stopped' });

/** Tensors over a slot's memory, made once: the library reads and writes in place. */
function bind({ frame, logits }: Slot) {
  return {
    feeds: { [models.input.name]: new Tensor('uint8', frame, models.input.shape) },
    fetches: { [models.output.name]: new Tensor('float32', logits, models.output.shape) },
  };
}

async function start(): Promise<boolean> {
  try {
    for (const point of models.points) {
      const session = await openPoint(point, models);
      sessions.push(session);
      await warmUp(session, nameOfPoint(point));
    }
    answer({ kind: 'ready' });
    return true;
  } catch (error) {
    answer({ kind: 'refused', message: describeError(error) });
    return false;
  }
}

async function warmUp(session: Session, what: string): Promise<void> {
  const [binding] = bindings;
  invariant(binding !== undefined, 'the ring has a slot');
  try {
    for (let count = 0; count < WARM_UP_RUNS; count += 1) await session.run(binding.feeds, binding.fetches);
  } catch (cause) {
    throw new Error(`${what}: its first run failed: ${describeError(cause)}`, { cause });
  }
}

async function serve(): Promise<void> {
  for (let count = 0; ; count += 1) {
    awaitCommand(count);
    const command = ring.commands[count % ring.commands.length];
    if (command === undefined || command === STOP) break;
    const outcome = await runOnce(count % bindings.length, command);
    // Before the answer: who watches over the runs sees a finished one even when its answer is on the way.
    Atomics.add(ring.finished, 0, 1);
    answer(outcome);
  }
  for (const session of sessions.splice(0)) await session.release();
}

/** Returns when more than `count` commands have been given. */
function awaitCommand(count: number): void {
  const none = count | 0;
  const spinEndMs = performance.now() + SPIN_MS;
  while (Atomics.load(ring.given, 0) === none) {
    if (performance.now() >= spinEndMs) Atomics.wait(ring.given, 0, none);
  }
}

async function runOnce(slot: number, point: number): Promise<FromWorker> {
  const session = sessions[point];
  const binding = bindings[slot];
  const startMs = performance.now();
  try {
    invariant(session !== undefined && binding !== undefined, `there is a point ${point} and a slot ${slot}`);
    await session.run(binding.feeds, binding.fetches);
    return performance.now() - startMs;
  } catch (error) {
    return { kind: 'failed', message: describeError(error) };
  }
}

function answer(message: FromWorker): void {
  port?.postMessage(message);
}
