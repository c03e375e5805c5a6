/**
 * The thread that owns the sessions. It does one thing at a time, in the order of its messages, so that
 * after `stopped` no native call is in flight: ending the thread during one would abort the process.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, invariant } from '../../shared/errors.ts';
import { type Session, Tensor } from '../../shared/onnx.ts';
import {
  type FromWorker,
  nameOfPoint,
  ringOver,
  type Slot,
  type ToWorker,
  type WorkerSetup,
} from './protocol.ts';
import { openPoint } from './session.ts';

/** The first runs of a session are slower: they allocate. */
const WARM_UP_RUNS = 3;

const port = parentPort;
invariant(port !== null, 'the inference worker runs in a worker thread');
const setup: WorkerSetup = workerData;
const { models } = setup;
const ring = ringOver(setup);
const bindings = ring.slots.map(bind);
const sessions: Session[] = [];
let nextSlot = 0;

let turn = start();
port.on('message', (message: ToWorker) => {
  turn = turn.then(() => (message === 'stop' ? stop() : run(message)));
});

/** Tensors over a slot's memory, made once: the library reads and writes in place. */
function bind({ frame, logits }: Slot) {
  return {
    feeds: { [models.input.name]: new Tensor('uint8', frame, models.input.shape) },
    fetches: { [models.output.name]: new Tensor('float32', logits, models.output.shape) },
  };
}

async function start(): Promise<void> {
  try {
    for (const point of models.points) {
      const session = await openPoint(point, models);
      sessions.push(session);
      await warmUp(session, nameOfPoint(point));
    }
    answer({ kind: 'ready' });
  } catch (error) {
    answer({ kind: 'refused', message: describeError(error) });
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

async function run(point: number): Promise<void> {
  const slot = nextSlot;
  nextSlot = (slot + 1) % bindings.length;
  const outcome = await runOnce(slot, point);
  // Before the answer: who watches over the runs sees a finished one even when its answer is still on the way.
  Atomics.add(ring.finished, 0, 1);
  answer(outcome);
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

async function stop(): Promise<void> {
  for (const session of sessions.splice(0)) await session.release();
  answer({ kind: 'stopped' });
}

function answer(message: FromWorker): void {
  port?.postMessage(message);
}
