import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import {
  createSessionFromBytes,
  PROVIDERS,
  type Session,
  servingOptions,
  Tensor,
} from '../../shared/onnx.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';
import { seededRandom } from '../../shared/random.ts';
import { mean } from '../../shared/statistics.ts';
import { INPUT_NAME } from '../ofa/graph/input.ts';
import { sizeOf } from '../ofa/tensors.ts';
import type { LayerTime } from './table.ts';

/** A model whose runs are timed: one input `image`, one output. */
export interface ProbeModel {
  readonly bytes: Uint8Array;
  readonly input: { readonly type: 'float32' | 'uint8'; readonly shape: readonly number[] };
}

/** Where and how models are timed. */
export interface ProbeOptions {
  readonly processingElement: ProcessingElement;
  /** Intra-op threads of each session. */
  readonly threads: number;
  /** Turns of each model, at least 1; `TIMED_RUNS` runs of a turn count. */
  readonly rounds: number;
  /** Of the order in which the models take turns. */
  readonly seed: number;
  readonly clock: Clock;
  /** Called after each turn of a model. */
  readonly onTurn?: () => void;
  readonly signal?: AbortSignal;
}

/** Runs of one turn: in the first ones a model fetches back what the others drove out of the caches. */
const UNTIMED_RUNS = 1;
export const TIMED_RUNS = 3;

/** Other work on a device makes runs slower, never faster: the fastest ones are the undisturbed ones. */
const KEPT_PART = 0.1;

/**
 * Times models that take turns, in another order each round: what drifts on the device meanwhile (clock
 * speed, temperature, other load) weighs on all of them alike. All of them are held at once.
 * @param models each one is made when its session is, and not kept
 * @returns milliseconds of the timed runs of each model
 * @throws AppError `system` naming the processing element that ONNX Runtime cannot use here, and why; the
 * signal's reason, within one run
 */
export async function timeModels(
  models: readonly (() => ProbeModel)[],
  options: ProbeOptions,
): Promise<readonly (readonly number[])[]> {
  const probes: Probe[] = [];
  try {
    for (const model of models) {
      options.signal?.throwIfAborted();
      probes.push(await openProbe(model(), options));
    }
    await takeTurns(probes, options);
    return probes.map(({ timesMs }) => timesMs);
  } finally {
    for (const { session } of probes) await session.release();
  }
}

/** The mean over the fastest tenth of the runs, with their standard deviation and number. */
export function undisturbedTime(timesMs: readonly number[]): LayerTime {
  const kept = timesMs.toSorted((a, b) => a - b).slice(0, Math.ceil(timesMs.length * KEPT_PART));
  const meanMs = mean(kept);
  const variance = mean(kept.map((ms) => (ms - meanMs) ** 2));
  return { mean: meanMs, std: Math.sqrt(variance), count: kept.length };
}

interface Probe {
  readonly session: Session;
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly timesMs: number[];
}

async function openProbe(
  { bytes, input }: ProbeModel,
  { processingElement, threads }: ProbeOptions,
): Promise<Probe> {
  try {
    const session = await createSessionFromBytes(
      bytes,
      servingOptions(PROVIDERS[processingElement], threads),
    );
    return { session, feeds: { [INPUT_NAME]: inputTensor(input) }, timesMs: [] };
  } catch (cause) {
    throw cannotMeasure(processingElement, cause);
  }
}

function cannotMeasure(processingElement: ProcessingElement, cause: unknown): AppError {
  return new AppError(
    'system',
    `processing element ${processingElement}: cannot be measured: ${describeError(cause)}`,
    { cause },
  );
}

async function takeTurns(probes: readonly Probe[], options: ProbeOptions): Promise<void> {
  const random = seededRandom(options.seed);
  for (let round = 0; round < options.rounds; round += 1) {
    for (const probe of shuffled(probes, (most) => random.below(most + 1))) {
      await takeTurn(probe, options);
      options.onTurn?.();
    }
  }
}

async function takeTurn({ session, feeds, timesMs }: Probe, options: ProbeOptions): Promise<void> {
  const { clock, processingElement, signal } = options;
  for (let run = -UNTIMED_RUNS; run < TIMED_RUNS; run += 1) {
    signal?.throwIfAborted();
    const startMs = clock.monoMs();
    try {
      await session.run(feeds);
    } catch (cause) {
      throw cannotMeasure(processingElement, cause);
    }
    if (run >= 0) timesMs.push(clock.monoMs() - startMs);
  }
}

/** Fisher and Yates. */
function shuffled<T>(values: readonly T[], randomUpTo: (most: number) => number): T[] {
  const left = [...values];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(randomUpTo(left.length - 1), 1));
  return order;
}

/** All shades: what a layer takes may depend on zeros. */
function inputTensor({ type, shape }: ProbeModel['input']): Tensor {
  const shades = Uint8Array.from({ length: sizeOf(shape) }, (_, index) => (index * 31) % 256);
  return type === 'uint8'
    ? new Tensor(type, shades, shape)
    : new Tensor(
        type,
        Float32Array.from(shades, (shade) => shade / 128 - 1),
        shape,
      );
}
