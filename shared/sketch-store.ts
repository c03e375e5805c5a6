/** Buckets beyond -4096 and 4096, 10^-35 and 10^35 in the sketch's unit, are not ours. */
export const MAX_BUCKET = 4_096;
/** For so many buckets beyond the outermost one a store that grows makes room. */
const SLACK = 16;
/** What every store begins with: to make one of its own takes longer than all else. */
const NONE = new Float64Array(0);

/**
 * What a sketch holds: how many values are zero, and how many are in each bucket. Counts lie side by side from
 * the lowest bucket to the highest, with some room beyond: values of one kind are seldom far apart.
 */
export class BucketStore {
  zeros = 0;
  /** How many values are in buckets. */
  others = 0;
  #counts = NONE;
  /** Bucket of the first count. */
  #offset = 0;

  /** Memory of the counts. */
  get bytes(): number {
    return this.#counts.byteLength;
  }

  add(bucket: number, count: number): void {
    if (bucket < this.#offset || bucket >= this.#offset + this.#counts.length) this.reach(bucket, bucket);
    const index = bucket - this.#offset;
    this.#counts[index] = (this.#counts[index] ?? 0) + count;
    this.others += count;
  }

  /** Makes room for the buckets from `low` to `high`. */
  reach(low: number, high: number): void {
    const { length } = this.#counts;
    const end = this.#offset + length;
    if (length > 0 && low >= this.#offset && high < end) return;
    const slack = Math.max(SLACK, length >> 1);
    const isFirst = length === 0;
    const from = isFirst || low < this.#offset ? Math.max(-MAX_BUCKET, low - slack) : this.#offset;
    const to = isFirst || high >= end ? Math.min(MAX_BUCKET, high + slack) + 1 : end;
    const counts = new Float64Array(to - from);
    if (!isFirst) counts.set(this.#counts, this.#offset - from);
    this.#counts = counts;
    this.#offset = from;
  }

  /** Makes room at once where there is none yet. */
  expect(low: number, high: number): void {
    if (this.#counts.length === 0) this.reach(low, high);
  }

  merge(from: BucketStore): void {
    this.zeros += from.zeros;
    if (from.others === 0) return;
    const [lowest, highest] = from.ends();
    this.reach(lowest, highest);
    const [own, others] = [this.#counts, from.#counts];
    const shift = from.#offset - this.#offset;
    const end = highest - from.#offset;
    for (let index = lowest - from.#offset; index <= end; index += 1) {
      own[index + shift] = (own[index + shift] ?? 0) + (others[index] ?? 0);
    }
    this.others += from.others;
  }

  /** The bucket of the value of this rank, from 1 to `others`, zeros left out. */
  bucketAt(rank: number): number {
    const counts = this.#counts;
    let reached = 0;
    let index = -1;
    while (reached < rank && index < counts.length) {
      index += 1;
      reached += counts[index] ?? 0;
    }
    return this.#offset + index;
  }

  /** How many values are in a bucket. */
  countIn(bucket: number): number {
    return this.#counts[bucket - this.#offset] ?? 0;
  }

  /** The lowest and the highest bucket with values; there must be some. */
  ends(): readonly [lowest: number, highest: number] {
    const counts = this.#counts;
    let [first, last] = [0, counts.length - 1];
    while (counts[first] === 0) first += 1;
    while (counts[last] === 0) last -= 1;
    return [this.#offset + first, this.#offset + last];
  }
}
