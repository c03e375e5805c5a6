import { AppError } from '../../shared/errors.ts';
import { createSessionFromBytes, type Session, servingOptions, Tensor } from '../../shared/onnx.ts';
import { calibrationModel, statisticNames } from '../ofa/graph/calibration-model.ts';
import { INPUT_NAME, type InputForm } from '../ofa/graph/input.ts';
import { batchNorms, type Statistics, type SubNetwork } from '../ofa/network.ts';

/** Images that are normalised with their common statistics. */
export interface Batch {
  readonly count: number;
  /** Frames [count, height, width, channels]; or normalised floats [count, channels, r, r]. */
  readonly data: Uint8Array | Float32Array;
}

export interface CalibrationOptions {
  /** [height, width] of the frames, where the batches are frames. */
  readonly frame: readonly [number, number];
  /** Threads that ONNX Runtime may use; the statistics do not depend on them beyond rounding. */
  readonly threads?: number;
  /** Called after each batch with the number of images done. */
  readonly onProgress?: (images: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * The running statistics of a sub-network's batch norms on images, as OFA's `set_running_statistics` takes
 * them: each batch is normalised with its own statistics, so that the layers behind see what they will see;
 * the result is the average over the batches of their means and of their biased variances, weighted by
 * images.
 * @returns by the names of `batchNorms`
 * @throws AppError `invalid` when there is no image, or a statistic is not finite
 */
export async function calibrate(
  network: SubNetwork,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  options: CalibrationOptions,
): Promise<Map<string, Statistics>> {
  const sums = batchNorms(network).map((norm) => new StatisticsSum(norm.name, norm.mean.length));
  await using sessions = new CalibrationSessions(network, options);
  let images = 0;
  for await (const batch of batches) {
    options.signal?.throwIfAborted();
    const outputs = await sessions.run(batch);
    for (const sum of sums) sum.add(outputs, batch.count);
    images += batch.count;
    options.onProgress?.(images);
  }
  if (images === 0) throw new AppError('invalid', 'calibration: there is no image to calibrate on');
  return new Map(sums.map((sum) => [sum.name, sum.average(images)]));
}

/** A graph of frames has its batch size built in: one session for full batches, one for what is left over. */
class CalibrationSessions implements AsyncDisposable {
  readonly #network: SubNetwork;
  readonly #options: CalibrationOptions;
  readonly #sessions = new Map<string, Session>();

  constructor(network: SubNetwork, options: CalibrationOptions) {
    this.#network = network;
    this.#options = options;
  }

  async run({ count, data }: Batch): Promise<Awaited<ReturnType<Session['run']>>> {
    const { space, architecture } = this.#network;
    const { frame } = this.#options;
    if (data instanceof Float32Array) {
      const session = await this.#session('float32', { type: 'float32' });
      const shape = [count, space.inChannels, architecture.r, architecture.r];
      return await session.run({ [INPUT_NAME]: new Tensor('float32', data, shape) });
    }
    const session = await this.#session(`${count} frames`, { type: 'uint8', frame, batch: count });
    return await session.run({
      [INPUT_NAME]: new Tensor('uint8', data, [count, ...frame, space.inChannels]),
    });
  }

  async #session(key: string, form: InputForm): Promise<Session> {
    const known = this.#sessions.get(key);
    if (known !== undefined) return known;
    const session = await createSessionFromBytes(
      calibrationModel(this.#network, form),
      servingOptions(['cpu'], this.#options.threads ?? 1),
    );
    this.#sessions.set(key, session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions.values()) await session.release();
  }
}

/** Weighted sums of one batch norm's statistics, in double precision. */
class StatisticsSum {
  readonly name: string;
  readonly #mean: Float64Array;
  readonly #variance: Float64Array;

  constructor(name: string, channels: number) {
    this.name = name;
    this.#mean = new Float64Array(channels);
    this.#variance = new Float64Array(channels);
  }

  add(outputs: Awaited<ReturnType<Session['run']>>, images: number): void {
    const names = statisticNames(this);
    addWeighted(this.#mean, outputs[names.mean]?.data, images);
    addWeighted(this.#variance, outputs[names.variance]?.data, images);
  }

  average(images: number): Statistics {
    const mean = Float32Array.from(this.#mean, (sum) => sum / images);
    const variance = Float32Array.from(this.#variance, (sum) => sum / images);
    const channel = mean.findIndex((value, index) => !Number.isFinite(value + (variance[index] ?? 0)));
    if (channel >= 0) {
      throw new AppError(
        'invalid',
        `calibration: ${this.name}, channel ${channel}: mean ${mean[channel]}, variance ${variance[channel]}`,
      );
    }
    return { mean, variance };
  }
}

function addWeighted(sums: Float64Array, values: Tensor['data'] | undefined, weight: number): void {
  if (!(values instanceof Float32Array) || values.length !== sums.length) {
    throw new AppError('system', 'calibration: ONNX Runtime gave something else than one value per channel');
  }
  for (const [channel, value] of values.entries()) sums[channel] = (sums[channel] ?? 0) + weight * value;
}
