import { DDSketch } from '@datadog/sketches-js';
import { AppError } from './errors.ts';

/**
 * Mergeable quantile sketches (DDSketch: Masson, Rim, Lee, VLDB 2019): every quantile is within 1 % of a
 * value of that rank, before and after any number of merges. The library does the mathematics; the
 * encoding here is ours because the library's own needs protobuf and is several times larger.
 */
const RELATIVE_ERROR = 0.01;
const FORMAT = 1;
/** Enough for 1 ns to 10^6 s in ms at 1 % error; a sketch that claims more is not one of ours. */
const MAX_BUCKET = 4_096;

export class Sketch {
  readonly #inner = new DDSketch({ relativeAccuracy: RELATIVE_ERROR });

  get count(): number {
    return this.#inner.count;
  }

  /** Adds one non-negative, finite value. */
  add(value: number): void {
    this.#inner.accept(value);
  }

  /** Adds all that another sketch holds. */
  merge(other: Sketch): void {
    this.#inner.merge(other.#inner);
  }

  /** Value at `quantile` (0..1), within 1 %; undefined when the sketch is empty. */
  quantile(quantile: number): number | undefined {
    return this.#inner.count === 0 ? undefined : this.#inner.getValueAtQuantile(quantile);
  }

  /** Base64 of: format, count of zeros, then (bucket delta, count) pairs, all as variable-length integers. */
  encode(): string {
    const bytes: number[] = [];
    putVarint(bytes, FORMAT);
    putVarint(bytes, this.#inner.zeroCount);
    let previous = 0;
    for (const [bucket, count] of bucketsOf(this.#inner)) {
      putVarint(bytes, zigzag(bucket - previous));
      putVarint(bytes, count);
      previous = bucket;
    }
    return Buffer.from(bytes).toString('base64');
  }

  /** @throws AppError `invalid` when the text is not an encoded sketch */
  static decode(text: string): Sketch {
    const bytes = Buffer.from(text, 'base64');
    const reader = { bytes, at: 0 };
    if (takeVarint(reader) !== FORMAT) throw new AppError('invalid', 'latency sketch: unknown format');
    const sketch = new Sketch();
    const zeros = takeVarint(reader);
    if (zeros > 0) sketch.#inner.accept(0, zeros);
    let bucket = 0;
    while (reader.at < bytes.length) {
      bucket += unzigzag(takeVarint(reader));
      const count = takeVarint(reader);
      if (Math.abs(bucket) > MAX_BUCKET || count === 0)
        throw new AppError('invalid', 'latency sketch: broken');
      sketch.#inner.accept(sketch.#inner.mapping.value(bucket), count);
    }
    return sketch;
  }
}

function* bucketsOf(sketch: DDSketch): Generator<[bucket: number, count: number]> {
  const { bins, offset } = sketch.store;
  for (const [index, count] of bins.entries()) {
    if (count > 0) yield [index + offset, count];
  }
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function putVarint(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}

function takeVarint(reader: { readonly bytes: Uint8Array; at: number }): number {
  let value = 0;
  for (let factor = 1; factor <= 2 ** 49; factor *= 0x80) {
    const byte = reader.bytes[reader.at];
    if (byte === undefined) break;
    reader.at += 1;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  throw new AppError('invalid', 'latency sketch: cut short');
}
