import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { describeError } from '../../shared/errors.ts';
import { machineMs } from './monotonic.ts';
import { type ContentionKind, type ContentionScript, nextStepMs, scriptMs, stepAt } from './script.ts';

/** What a thread of the contender is told. */
export interface ContenderThread {
  readonly script: ContentionScript;
  /** When the script begins, of the machine's monotonic clock. */
  readonly startMs: number;
  /** Where in its duty cycle this thread begins, 0..1, so that not all are busy at the same moments. */
  readonly phase: number;
  /** The core that it is to stay on. */
  readonly core: number | undefined;
}

/**
 * Length of one duty cycle. A scheduler lets a thread that wakes run at once, and takes the core away from one
 * that always runs: only a load that is shorter than an inference of a millisecond slows it down in proportion,
 * as a slower core would. A load without pauses mostly leaves it alone, and now and then adds a whole slice.
 */
const CYCLE_MS = 0.5;
/** It does its work in a few milliseconds. */
const TASKSET_MS = 5_000;
const COPIED_BYTES = 64 * 2 ** 20;
/** What is done between two looks at the clock takes about 10 microseconds. */
const COPY_AT_ONCE = 2 ** 16;
const STEPS_AT_ONCE = 5_000;

/** A thread sleeps on memory that nobody else has. */
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Does a little work at each call. */
function workOf(kind: ContentionKind): () => void {
  return kind === 'integer' ? integerWork() : memoryWork();
}

/** A linear congruential generator: arithmetic that depends on itself, and no memory. */
function integerWork(): () => void {
  let value = 1;
  return () => {
    for (let step = 0; step < STEPS_AT_ONCE; step += 1)
      value = (Math.imul(value, 1_664_525) + 1_013_904_223) | 0;
  };
}

/** Copies one half of 64 MiB to the other, part after part, over and over: more than the caches hold. */
function memoryWork(): () => void {
  const memory = new Uint8Array(COPIED_BYTES).fill(1);
  const half = COPIED_BYTES / 2;
  let offset = 0;
  return () => {
    memory.copyWithin(half + offset, offset, offset + COPY_AT_ONCE);
    offset = (offset + COPY_AT_ONCE) % half;
  };
}

/** Follows the script until it ends, by the clock alone: what is late is not made up for. */
function contend({ script, startMs, phase, core }: ContenderThread): void {
  if (core !== undefined) stayOn(core);
  const work = workOf(script.kind);
  for (;;) {
    const sinceMs = machineMs() - startMs;
    if (sinceMs >= scriptMs(script)) return;
    const duty = stepAt(script, sinceMs)?.duty ?? 0;
    const inCycle = positiveRemainder(sinceMs / CYCLE_MS + phase, 1);
    if (inCycle < duty) work();
    else sleep(Math.min((duty > 0 ? 1 - inCycle : 1) * CYCLE_MS, nextStepMs(script, sinceMs) - sinceMs));
  }
}

function positiveRemainder(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}

function sleep(ms: number): void {
  Atomics.wait(sleeper, 0, 0, Math.max(0.05, ms));
}

/** Node.js cannot do it; where there is no `taskset` the scheduler places the thread. */
function stayOn(core: number): void {
  try {
    const thread = readlinkSync('/proc/thread-self').split('/').at(-1) ?? '';
    execFileSync('taskset', ['-cp', String(core), thread], { stdio: 'ignore', timeout: TASKSET_MS });
  } catch (error) {
    process.stderr.write(`contend: a thread is on no core of its own: ${describeError(error)}\n`);
  }
}

contend(workerData as ContenderThread);
