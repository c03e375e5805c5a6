import { DDSketch } from '@datadog/sketches-js';
import { invariant } from './errors.ts';
import { checkText, readBytes, readText, writeBytes, writeText } from './sketch-bytes.ts';
import { BucketStore, MAX_BUCKET } from './sketch-store.ts';

const RELATIVE_ERROR = 0.01;

/** Which bucket a value is in, and which value a bucket stands for. */
const { mapping } = new DDSketch({ relativeAccuracy: RELATIVE_ERROR });
const LEAST = mapping.value(-MAX_BUCKET);
const GREATEST = mapping.value(MAX_BUCKET);

/**
 * A quantile sketch that can be merged (DDSketch: Masson, Rim, Lee, VLDB 2019): every quantile is within 1 %
 * of the value of that rank, after any number of merges too. The library has the mathematics; store and
 * encoding are ours, because its own are slow to merge and several times larger.
 */
export class Sketch {
  readonly #store = new BucketStore();

  /** How many values it holds. */
  get count(): number {
    return this.#store.zeros + this.#store.others;
  }

  /** Memory that its counts take, bytes: a few hundred, or 64 kB where values lie as far apart as they can. */
  get bytes(): number {
    return this.#store.bytes;
  }

  /**
   * Adds a value, `count` times. What is below 10^-35 is as good as zero, what is above 10^35 counts as that.
   * @param value finite and not below zero
   */
  add(value: number, count = 1): void {
    invariant(value >= 0 && value < Number.POSITIVE_INFINITY, 'a sketch takes finite values from zero');
    if (value < LEAST) this.#store.zeros += count;
    else this.#store.add(mapping.key(Math.min(value, GREATEST)), count);
  }

  /** Adds all that another sketch holds: the same as if its values had been added here. */
  merge(other: Sketch): void {
    this.#store.merge(other.#store);
  }

  /**
   * Adds all that an encoded sketch holds, without making one of it.
   * @param start of the sketch within `bytes`, and its end: many lie in one row
   * @throws AppError `invalid` when it is broken; what was read until then has been added
   */
  mergeBytes(bytes: Uint8Array, start = 0, end = bytes.length): void {
    readBytes(bytes, start, end, this.#store);
  }

  /** The value at rank floor(1 + quantile (count - 1)), within 1 %; undefined when there is none. */
  quantile(quantile: number): number | undefined {
    invariant(quantile >= 0 && quantile <= 1, 'a quantile lies between 0 and 1');
    if (this.count === 0) return undefined;
    const rank = Math.floor(1 + quantile * (this.count - 1));
    return rank <= this.#store.zeros ? 0 : mapping.value(this.#store.bucketAt(rank - this.#store.zeros));
  }

  /** Its bytes, as `shared/sketch-bytes.ts` says; equal sketches have equal ones. */
  encodeBytes(): Uint8Array {
    return writeBytes(this.#store);
  }

  /** Its bytes as base64. */
  encode(): string {
    return writeText(this.#store);
  }

  /** @throws AppError `invalid` when the text is not an encoded sketch, or longer than 16,384 characters */
  static decode(text: string): Sketch {
    const sketch = new Sketch();
    readText(text, sketch.#store);
    return sketch;
  }

  /** @throws AppError `invalid` when the bytes are not an encoded sketch */
  static decodeBytes(bytes: Uint8Array): Sketch {
    const sketch = new Sketch();
    sketch.mergeBytes(bytes);
    return sketch;
  }

  /**
   * Whether `decode` would take the text, without making anything of it.
   * @returns how many values the sketch holds
   * @throws AppError `invalid` as `decode` does
   */
  static check(text: string): number {
    return checkText(text);
  }
}
