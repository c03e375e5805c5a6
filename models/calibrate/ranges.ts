import { AppError } from '../../shared/errors.ts';
import { createSessionFromBytes, type Session, servingOptions, Tensor } from '../../shared/onnx.ts';
import { INPUT_NAME, type InputForm } from '../ofa/graph/input.ts';
import type { SubNetwork } from '../ofa/network.ts';
import type { Range } from '../ofa/quantise/affine.ts';
import { Histogram } from '../ofa/quantise/histogram.ts';
import { quantisedValues } from '../ofa/quantise/int8-model.ts';
import { rangeModel } from '../ofa/quantise/range-model.ts';
import { type RangeRule, usualRange } from '../ofa/quantise/range-rules.ts';
import type { Batch, CalibrationOptions } from './calibrate.ts';

export interface RangeOptions extends CalibrationOptions {
  /** How a range is chosen of the values that were seen; default `usualRange`. */
  readonly rule?: RangeRule;
}

/**
 * The ranges that an int8 model needs, from what the sub-network's float graph computes on images. The
 * images go through it one by one, and what is kept of them is a histogram of each value: memory does not
 * grow with their number.
 * @param network with the batch-norm statistics that it will have
 * @param batches all of frames, or all of normalised floats
 * @returns by the names of `quantisedTensors`, in their order
 * @throws AppError `invalid` when there is no image, or a value is not finite
 */
export async function collectRanges(
  network: SubNetwork,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  { rule = usualRange, ...options }: RangeOptions,
): Promise<Map<string, Range>> {
  const values = quantisedValues(network).map((value) => ({ ...value, seen: new Histogram(value.name) }));
  await using sessions = new AsyncDisposableStack();
  let session: Session | undefined;
  let images = 0;
  for await (const batch of batches) {
    session ??= sessions.adopt(
      await openSession(network, formOf(batch, options), options.threads),
      (opened) => opened.release(),
    );
    for (const image of imagesOf(batch, network, options)) {
      options.signal?.throwIfAborted();
      const outputs = await session.run({ [INPUT_NAME]: image });
      for (const { name, least, seen } of values) seen.add(floatsOf(outputs[name], name), least);
    }
    images += batch.count;
    options.onProgress?.(images);
  }
  if (images === 0) throw new AppError('invalid', 'ranges: there is no image to take them from');
  return new Map(values.map(({ name, seen }) => [name, rule(seen)]));
}

function formOf({ data }: Batch, { frame }: CalibrationOptions): InputForm {
  return data instanceof Float32Array ? { type: 'float32' } : { type: 'uint8', frame, batch: 1 };
}

async function openSession(network: SubNetwork, form: InputForm, threads = 1): Promise<Session> {
  return await createSessionFromBytes(rangeModel(network, form), servingOptions(['cpu'], threads));
}

function* imagesOf({ count, data }: Batch, network: SubNetwork, { frame }: CalibrationOptions) {
  const { inChannels } = network.space;
  const { r } = network.architecture;
  const size = data.length / count;
  for (let image = 0; image < count; image += 1) {
    const place: [number, number] = [image * size, (image + 1) * size];
    yield data instanceof Float32Array
      ? new Tensor('float32', data.subarray(...place), [1, inChannels, r, r])
      : new Tensor('uint8', data.subarray(...place), [1, ...frame, inChannels]);
  }
}

function floatsOf(output: Tensor | undefined, name: string): Float32Array {
  if (output?.data instanceof Float32Array) return output.data;
  throw new AppError('system', `ranges: ONNX Runtime gave no floats for ${name}`);
}
