import { Worker } from 'node:worker_threads';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError, invariant } from '../../shared/errors.ts';
import { siblingModule } from '../../shared/package.ts';
import {
  type Answer,
  type FromWorker,
  type ModelSet,
  ringBytes,
  ringOver,
  type SharedRing,
  type Slot,
  STOP,
  type WorkerSetup,
} from './protocol.ts';

/** The worker's counter of finished commands starts again here. */
const COUNTER_SIZE = 2 ** 32;

/** What the worker is asked to do. */
export interface Job {
  readonly command: number;
  /** What takes longer hangs. */
  readonly boundMs: number;
  /** What it is, for people; asked for only when it fails. */
  readonly name: () => string;
  /** Called at once when the answer is there: the slot is the job's own until then. */
  readonly done: (answer: Answer, slot: Slot) => void;
  readonly failed: (error: AppError) => void;
}

interface PendingJob extends Job {
  readonly sequence: number;
  /** When the job before it was answered, or when it was given. */
  startedMs: number;
}

export interface ThreadOptions {
  readonly models: ModelSet;
  readonly slots: number;
  /** No job's bound is shorter; a worker that does not stop within this after its last job hangs. */
  readonly leastBoundMs: number;
  readonly clock: Clock;
  /** Called once, when a job hangs or the worker died; every pending job has failed by then. */
  readonly onFault: (error: AppError) => void;
}

/** The worker thread seen from the main thread: jobs go in, answers come back in the same order. */
export class InferenceThread {
  readonly #options: ThreadOptions;
  readonly #ring: SharedRing;
  readonly #worker: Worker;
  /** First in, first out: a job's slot is its sequence number modulo the number of slots. */
  readonly #pending: PendingJob[] = [];
  readonly #stopped = Promise.withResolvers<void>();
  readonly #closed = new AbortController();
  #sequence = 0;
  #watching = false;
  #fault: AppError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ThreadOptions) {
    const { models, slots } = options;
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

  /** What made the thread unusable. */
  get fault(): AppError | undefined {
    return this.#fault;
  }

  /** Bytes of a frame. */
  get frameBytes(): number {
    return this.#ring.slots[0]?.frame.length ?? 0;
  }

  /** Jobs that are not answered. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Gives a job to the worker. `frame`, if it has one, is copied before this returns. */
  give(job: Job, frame?: Uint8Array): void {
    const sequence = this.#sequence;
    this.#sequence += 1;
    if (frame !== undefined) this.#slotOf(sequence).frame.set(frame);
    this.#command(sequence, job.command);
    this.#pending.push({ ...job, sequence, startedMs: this.#options.clock.monoMs() });
    if (!this.#watching) void this.#watch();
  }

  /**
   * Lets the jobs under way finish, then ends the worker. Repeated calls share one closing.
   * @throws AppError `timeout` when the worker hangs
   */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  /** The worker counts in the same way. */
  #slotOf(sequence: number): Slot {
    const slot = this.#ring.slots[sequence % this.#ring.slots.length];
    invariant(slot !== undefined, 'every job has a slot');
    return slot;
  }

  #receive(message: FromWorker): void {
    if (typeof message === 'object' && message.kind === 'stopped') {
      this.#stopped.resolve();
      return;
    }
    const job = this.#pending.shift();
    // Given up before: it has failed already.
    if (job === undefined) return;
    const next = this.#pending[0];
    if (next !== undefined) next.startedMs = this.#options.clock.monoMs();
    job.done(message, this.#slotOf(job.sequence));
  }

  /** One sleeper for all jobs, not a timer for each: it wakes when one could be overdue. */
  async #watch(): Promise<void> {
    const { clock, leastBoundMs } = this.#options;
    this.#watching = true;
    try {
      for (let head = this.#pending[0]; head !== undefined; head = this.#pending[0]) {
        const leftMs = head.startedMs + head.boundMs - clock.monoMs();
        if (leftMs <= 0 && !this.#isFinished(head)) {
          const what = `${head.name()}: no answer within ${head.boundMs} ms: it hangs`;
          this.#fail(new AppError('timeout', what));
          return;
        }
        await clock.sleep(Math.max(Math.min(leftMs, leastBoundMs), 1), this.#closed.signal);
      }
    } catch (error) {
      if (!this.#closed.signal.aborted) throw error;
    } finally {
      this.#watching = false;
    }
  }

  /** Whether only the answer is still on its way, because this thread was busy itself. */
  #isFinished(job: PendingJob): boolean {
    return Atomics.load(this.#ring.finished, 0) !== job.sequence % COUNTER_SIZE;
  }

  #fail(error: AppError): void {
    if (this.#fault !== undefined) return;
    this.#fault = error;
    for (const job of this.#pending.splice(0)) job.failed(error);
    this.#options.onFault(error);
  }

  async #shutDown(): Promise<void> {
    const { clock, leastBoundMs } = this.#options;
    const boundMs = this.#pending.reduce((sum, job) => sum + job.boundMs, leastBoundMs);
    this.#command(this.#sequence, STOP);
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
