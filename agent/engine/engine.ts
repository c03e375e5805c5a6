import { Worker } from 'node:worker_threads';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError, invariant } from '../../shared/errors.ts';
import { siblingModule } from '../../shared/package.ts';
import {
  type FromWorker,
  type LevelSpec,
  type ModelSet,
  nameOfPoint,
  ringBytes,
  ringOver,
  type SharedRing,
  type Slot,
  STOP,
  type TensorSpec,
  type WorkerSetup,
} from './protocol.ts';

/** Runs that may be under way or waiting at once. A frame that waits longer than a few runs is stale. */
const DEFAULT_SLOTS = 4;

/** The worker's counter of finished runs starts again here. */
const COUNTER_SIZE = 2 ** 32;

export interface EngineOptions {
  /** What is held ready; `run` takes an index into this list. */
  readonly points: readonly LevelSpec[];
  readonly input: TensorSpec;
  readonly output: TensorSpec;
  /** Intra-op threads of each session, default 1. */
  readonly threads?: number;
  /** Runs under way or waiting at once, default 4; one more is refused. */
  readonly slots?: number;
  /** A run that takes longer hangs. */
  readonly runTimeoutMs: number;
  readonly clock: Clock;
  /**
   * Called once when the engine can serve no more: a run hangs, or the worker died. A hung native run
   * cannot be stopped, and exiting during it aborts: end the process with SIGKILL.
   */
  readonly onFatal: (error: AppError) => void;
}

export interface Inference {
  /** The caller's to keep. */
  readonly logits: Float32Array;
  /** The run alone, in the worker. */
  readonly runMs: number;
  /** From the call to its answer, waiting for earlier runs included. */
  readonly totalMs: number;
}

/** Runs models in a worker thread: native inference blocks the thread that calls it. */
export interface Engine extends AsyncDisposable {
  /**
   * Runs one frame through a point, after the runs that were asked for earlier. The frame is copied before
   * this returns.
   * @throws AppError `conflict` when every slot is taken, `invalid` for a frame of another size, `timeout`
   * when the run hangs, `system` when it fails or the engine is closed or dead
   */
  run(pointIndex: number, frame: Uint8Array): Promise<Inference>;
  /**
   * Lets the runs under way finish, then ends the worker. Repeated calls share one closing.
   * @throws AppError `timeout` when the worker hangs: end the process with SIGKILL, `exit` would abort
   */
  close(): Promise<void>;
}

/**
 * Starts the worker and waits until every point is loaded, checked and warm.
 * @throws AppError `invalid` naming level and file when a model cannot be used; no worker is left then
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const engine = new WorkerEngine(options);
  try {
    await engine.ready;
  } catch (error) {
    await engine.close();
    throw error;
  }
  return engine;
}

interface PendingRun {
  readonly sequence: number;
  readonly point: number;
  readonly arrivedMs: number;
  /** When the run before it was answered, or its arrival. */
  startedMs: number;
  readonly result: PromiseWithResolvers<Inference>;
}

class WorkerEngine implements Engine {
  readonly #options: EngineOptions;
  readonly #ring: SharedRing;
  readonly #worker: Worker;
  /** First in, first out: a run's slot is its sequence number modulo the number of slots. */
  readonly #pending: PendingRun[] = [];
  readonly #ready = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  readonly #closed = new AbortController();
  #sequence = 0;
  #starting = true;
  #watching = false;
  #fault: AppError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: EngineOptions) {
    const { points, input, output, threads = 1, slots = DEFAULT_SLOTS } = options;
    const models: ModelSet = { points, input, output, threads };
    const setup: WorkerSetup = { models, slots, memory: new SharedArrayBuffer(ringBytes(models, slots)) };
    this.#options = options;
    this.#ring = ringOver(setup);
    this.#worker = new Worker(siblingModule(import.meta.url, 'worker'), {
      name: 'inference',
      workerData: setup,
    });
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (cause) => {
      this.#fail(new AppError('system', `the inference worker died: ${describeError(cause)}`, { cause }));
    });
    this.#worker.on('exit', (code) => {
      this.#stopped.resolve();
      if (this.#closing === undefined || this.#pending.length > 0) {
        this.#fail(new AppError('system', `the inference worker ended by itself with exit code ${code}`));
      }
    });
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  async run(pointIndex: number, frame: Uint8Array): Promise<Inference> {
    this.#admit(pointIndex, frame);
    const arrivedMs = this.#options.clock.monoMs();
    const sequence = this.#sequence;
    this.#sequence += 1;
    this.#slotOf(sequence).frame.set(frame);
    this.#command(sequence, pointIndex);
    const result = Promise.withResolvers<Inference>();
    this.#pending.push({ sequence, point: pointIndex, arrivedMs, startedMs: arrivedMs, result });
    if (!this.#watching) void this.#watch();
    return await result.promise;
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #admit(pointIndex: number, frame: Uint8Array): void {
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#closing !== undefined)
      throw new AppError('system', 'the engine is closed and takes no more frames');
    invariant(this.#options.points[pointIndex] !== undefined, `the engine has a point ${pointIndex}`);
    const { slots } = this.#ring;
    const bytes = slots[0]?.frame.length;
    if (frame.length !== bytes) {
      throw new AppError('invalid', `a frame of ${frame.length} bytes, the family takes ${bytes}`);
    }
    if (this.#pending.length >= slots.length) {
      throw new AppError('conflict', `all ${slots.length} slots of the engine are taken: offer fewer frames`);
    }
  }

  /** The worker counts in the same way. */
  #slotOf(sequence: number): Slot {
    const slot = this.#ring.slots[sequence % this.#ring.slots.length];
    invariant(slot !== undefined, 'every run has a slot');
    return slot;
  }

  #receive(message: FromWorker): void {
    if (typeof message === 'number') {
      const run = this.#takeOldest();
      if (run !== undefined) this.#resolve(run, message);
      return;
    }
    switch (message.kind) {
      case 'failed': {
        const run = this.#takeOldest();
        run?.result.reject(
          new AppError('system', `${this.#nameOf(run)}: its run failed: ${message.message}`),
        );
        break;
      }
      case 'ready':
        this.#starting = false;
        this.#ready.resolve();
        break;
      case 'refused':
        this.#fail(new AppError('invalid', message.message));
        break;
      case 'stopped':
        this.#stopped.resolve();
    }
  }

  /** The run that is answered now, if it was not given up, and lets the next one's time begin. */
  #takeOldest(): PendingRun | undefined {
    const run = this.#pending.shift();
    const next = this.#pending[0];
    if (next !== undefined) next.startedMs = this.#options.clock.monoMs();
    return run;
  }

  #resolve({ sequence, arrivedMs, result }: PendingRun, runMs: number): void {
    const logits = this.#slotOf(sequence).logits.slice();
    result.resolve({ logits, runMs, totalMs: this.#options.clock.monoMs() - arrivedMs });
  }

  /** One sleeper for all runs, not a timer for each: it wakes when the oldest run would be overdue. */
  async #watch(): Promise<void> {
    const { clock, runTimeoutMs } = this.#options;
    this.#watching = true;
    try {
      for (let head = this.#pending[0]; head !== undefined; head = this.#pending[0]) {
        const leftMs = head.startedMs + runTimeoutMs - clock.monoMs();
        if (leftMs <= 0 && !this.#isFinished(head)) {
          this.#fail(
            new AppError('timeout', `${this.#nameOf(head)}: no answer within ${runTimeoutMs} ms: it hangs`),
          );
          return;
        }
        await clock.sleep(Math.max(leftMs, 1), this.#closed.signal);
      }
    } catch (error) {
      if (!this.#closed.signal.aborted) throw error;
    } finally {
      this.#watching = false;
    }
  }

  /** Whether only the answer is still on its way, because this thread was busy itself. */
  #isFinished(run: PendingRun): boolean {
    return Atomics.load(this.#ring.finished, 0) !== run.sequence % COUNTER_SIZE;
  }

  #nameOf({ point }: PendingRun): string {
    const spec = this.#options.points[point];
    return spec === undefined ? `point ${point}` : nameOfPoint(spec);
  }

  #fail(error: AppError): void {
    if (this.#fault !== undefined) return;
    this.#fault = error;
    for (const run of this.#pending.splice(0)) run.result.reject(error);
    if (this.#starting) this.#ready.reject(error);
    else this.#options.onFatal(error);
  }

  async #shutDown(): Promise<void> {
    const { clock, runTimeoutMs } = this.#options;
    this.#command(this.#sequence, STOP);
    const boundMs = runTimeoutMs * (this.#pending.length + 1);
    const bound = clock.sleep(boundMs, this.#closed.signal).then(() => {
      throw new AppError('timeout', `the inference worker did not stop within ${boundMs} ms: it hangs`);
    });
    try {
      await Promise.race([this.#stopped.promise, bound]);
    } finally {
      this.#closed.abort();
    }
    await this.#worker.terminate();
  }

  #command(sequence: number, command: number): void {
    const { commands, given } = this.#ring;
    commands[sequence % commands.length] = command;
    Atomics.add(given, 0, 1);
    Atomics.notify(given, 0);
  }
}
