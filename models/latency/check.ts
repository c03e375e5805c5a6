import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';
import { median } from '../../shared/statistics.ts';
import type { Architecture } from '../ofa/architecture.ts';
import type { Backbone } from '../ofa/backbone.ts';
import { extractSubNetwork } from '../ofa/extract.ts';
import { floatModel } from '../ofa/graph/float-model.ts';
import type { InputForm } from '../ofa/graph/input.ts';
import type { SubNetwork } from '../ofa/network.ts';
import { int8Model, quantisedTensors } from '../ofa/quantise/int8-model.ts';
import type { SearchSpace } from '../ofa/space.ts';
import { kendallTau, type Line, relativeLine, spearmanRho } from '../statistics.ts';
import { ANY_RANGE, inputOf } from './layer-model.ts';
import { type ProbeModel, timeModels, undisturbedTime } from './probe.ts';
import { RandomLayers } from './random-layers.ts';
import { type LatencyCorrection, type LatencyTable, latencyMs } from './table.ts';

export interface CheckOptions {
  readonly table: LatencyTable;
  readonly space: SearchSpace;
  /** Whose weights the networks have; without one they are random. */
  readonly backbone?: Backbone;
  /** At least `MIN_NETWORKS`. */
  readonly architectures: readonly Architecture[];
  readonly processingElement: ProcessingElement;
  /** Intra-op threads. */
  readonly threads: number;
  readonly form: InputForm;
  readonly precision: Precision;
  /** Turns of each network, spread over `PASSES`: some more where they are no multiple of it. */
  readonly rounds: number;
  readonly seed: number;
  readonly clock: Clock;
  /** Called after each turn of a network. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface CheckedNetwork {
  readonly architecture: Architecture;
  /** The sum of its layers, without the table's correction. */
  readonly predictedMs: number;
  /** As if nothing else ran on the device, see `undisturbedTime`. */
  readonly measuredMs: number;
  /** Median of all runs: above `measuredMs` by what disturbed them. */
  readonly medianMs: number;
}

/** Of |predicted - measured| / measured. */
export interface RelativeError {
  readonly median: number;
  readonly max: number;
}

/** How well a table predicts whole networks. */
export interface TableCheck {
  readonly networks: readonly CheckedNetwork[];
  /** Of the sums of layers. */
  readonly error: RelativeError;
  /** Rank correlations of the sums of layers with the measured times; a correction does not change them. */
  readonly spearman: number;
  readonly kendall: number;
  /** Median of `medianMs / measuredMs`; far above 1 the device did other work, and figures are worth little. */
  readonly disturbance: number;
  /** Fitted on all networks; absent where no rising line fits. */
  readonly correction?: LatencyCorrection;
  /** Of corrected predictions, each network by the line that was fitted on the half without it. */
  readonly correctedError?: RelativeError;
}

/** Two for each of the two lines. */
export const MIN_NETWORKS = 4;

/** Networks that are held in memory together: their weights, and what ONNX Runtime makes of them. */
const BATCH = 8;

/** A time of other load on the device does not fall on all runs of one batch, but on some of every one. */
const PASSES = 4;

/**
 * Compares what a table predicts with whole networks, measured as the table's layers were.
 * @throws AppError `usage` for too few architectures, `not-found` for one of a resolution that the table does
 * not have, `invalid` for one outside of the space and for a table of another one, `system` for a processing
 * element that ONNX Runtime does not have here; the signal's reason, within one run
 */
export async function checkTable(options: CheckOptions): Promise<TableCheck> {
  const { table, space, architectures } = options;
  if (architectures.length < MIN_NETWORKS) {
    throw new AppError(
      'usage',
      `latency check: ${architectures.length} networks, at least ${MIN_NETWORKS} are needed`,
    );
  }
  const predictedMs = architectures.map((architecture) => latencyMs(table, space, architecture));
  const timesMs = await measureNetworks(options);
  return judgeTable(
    architectures.map((architecture, index) => ({
      architecture,
      predictedMs: predictedMs[index] ?? Number.NaN,
      measuredMs: undisturbedTime(timesMs[index] ?? []).mean,
      medianMs: median(timesMs[index] ?? []),
    })),
  );
}

/** Judges predictions by measured times. */
export function judgeTable(networks: readonly CheckedNetwork[]): TableCheck {
  const predicted = networks.map(({ predictedMs }) => predictedMs);
  const measured = networks.map(({ measuredMs }) => measuredMs);
  const check = {
    networks,
    error: relativeError(networks, () => ({ offset: 0, scale: 1 })),
    spearman: spearmanRho(predicted, measured),
    kendall: kendallTau(predicted, measured),
    disturbance: median(networks.map(({ medianMs, measuredMs }) => medianMs / measuredMs)),
  };
  const line = risingLine(networks);
  const [even, odd] = [0, 1].map((half) => risingLine(networks.filter((_, index) => index % 2 !== half)));
  if (line === undefined || even === undefined || odd === undefined) return check;
  return {
    ...check,
    correction: { offsetMs: line.offset, scale: line.scale },
    correctedError: relativeError(networks, (index) => (index % 2 === 0 ? even : odd)),
  };
}

function risingLine(networks: readonly CheckedNetwork[]): Line | undefined {
  const line = relativeLine(
    networks.map(({ predictedMs }) => predictedMs),
    networks.map(({ measuredMs }) => measuredMs),
  );
  return line !== undefined && line.scale > 0 ? line : undefined;
}

function relativeError(networks: readonly CheckedNetwork[], lineFor: (index: number) => Line): RelativeError {
  const errors = networks.map(({ predictedMs, measuredMs }, index) => {
    const { offset, scale } = lineFor(index);
    return Math.abs(offset + scale * predictedMs - measuredMs) / measuredMs;
  });
  return { median: median(errors), max: Math.max(...errors) };
}

async function measureNetworks(options: CheckOptions): Promise<readonly (readonly number[])[]> {
  const { architectures, rounds, onProgress } = options;
  const timesMs = architectures.map((): number[] => []);
  const passes = Math.min(PASSES, rounds);
  const perPass = Math.ceil(rounds / passes);
  let done = 0;
  const onTurn = (): void => {
    done += 1;
    onProgress?.(done, passes * perPass * architectures.length);
  };
  for (let pass = 0; pass < passes; pass += 1) {
    for (let start = 0; start < architectures.length; start += BATCH) {
      const models = architectures
        .slice(start, start + BATCH)
        .map((architecture) => () => networkModel(architecture, options));
      const ofBatch = await timeModels(models, { ...options, rounds: perPass, onTurn });
      for (const [index, times] of ofBatch.entries()) timesMs[start + index]?.push(...times);
    }
  }
  return timesMs;
}

function networkModel(architecture: Architecture, options: CheckOptions): ProbeModel {
  const { space, backbone, form, seed } = options;
  const network =
    backbone === undefined
      ? new RandomLayers(space, seed).network(architecture)
      : extractSubNetwork(backbone, architecture);
  return { bytes: modelBytes(network, options), input: inputOf(form, space, architecture.r) };
}

function modelBytes(network: SubNetwork, { form, precision }: CheckOptions): Uint8Array {
  if (precision === 'fp32') return floatModel(network, form);
  return int8Model(network, form, new Map(quantisedTensors(network).map((name) => [name, ANY_RANGE])));
}
