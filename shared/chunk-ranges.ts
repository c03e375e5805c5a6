import { CHUNK_BYTES, type ChunkRange, MAX_BLOB_BYTES } from './protocol/release.ts';

/** Chunks of the largest blob. */
export const MAX_CHUNKS = MAX_BLOB_BYTES / CHUNK_BYTES;

/** Bytes of chunk `n` of a blob of `blobBytes`; 0 where there is no such chunk. */
export function chunkLengthOf(blobBytes: number, n: number): number {
  if (!Number.isInteger(n) || n < 0) return 0;
  return Math.max(0, Math.min(CHUNK_BYTES, blobBytes - n * CHUNK_BYTES));
}

/** A set of chunks of one blob: a bitmap that is as long as its highest member needs, 4 KiB at most. */
export interface ChunkSet {
  readonly size: number;
  has(n: number): boolean;
  /** Puts a closed range in, but for the members of `except`. @returns how many were not in yet */
  add(range: ChunkRange, except?: readonly ChunkSet[]): number;
  /** Takes a closed range out. @returns how many were in */
  remove(range: ChunkRange): number;
  /** The first member from `n` on. */
  next(n: number): number | undefined;
  /** The first `limit` runs of members, in order. */
  ranges(limit: number): ChunkRange[];
  clear(): void;
  /** Members 32 * w to 32 * w + 31 as bits. */
  word(w: number): number;
}

/** Makes an empty set. */
export function createChunkSet(): ChunkSet {
  return new Bitmap();
}

const BITS = 32;

class Bitmap implements ChunkSet {
  #words = new Uint32Array(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(n: number): boolean {
    return ((this.word(Math.floor(n / BITS)) >>> (n % BITS)) & 1) === 1;
  }

  add([from, to]: ChunkRange, except: readonly ChunkSet[] = []): number {
    const last = Math.min(to, MAX_CHUNKS - 1);
    if (from > last) return 0;
    this.#growTo(Math.floor(last / BITS) + 1);
    return this.#change(from, last, (word, mask, w) => {
      const barred = except.reduce((bits, set) => bits | set.word(w), 0);
      return word | (mask & ~barred);
    });
  }

  remove([from, to]: ChunkRange): number {
    const last = Math.min(to, this.#words.length * BITS - 1);
    if (from > last) return 0;
    return this.#change(from, last, (word, mask) => word & ~mask);
  }

  next(n: number): number | undefined {
    return this.#find(n, 0);
  }

  ranges(limit: number): ChunkRange[] {
    const found: ChunkRange[] = [];
    for (let from = this.next(0); from !== undefined && found.length < limit; ) {
      const end = this.#find(from, -1) ?? this.#words.length * BITS;
      found.push([from, end - 1]);
      from = this.next(end);
    }
    return found;
  }

  clear(): void {
    this.#words = new Uint32Array(0);
    this.#size = 0;
  }

  word(w: number): number {
    return this.#words[w] ?? 0;
  }

  /** The first bit from `n` on that is 1, or that is 0 where `flip` is -1. */
  #find(n: number, flip: 0 | -1): number | undefined {
    const first = Math.floor(n / BITS);
    for (let w = first; w < this.#words.length; w += 1) {
      const from = w === first ? -1 << (n % BITS) : -1;
      const bits = (this.word(w) ^ flip) & from;
      if (bits !== 0) return w * BITS + (BITS - 1 - Math.clz32(bits & -bits));
    }
    return undefined;
  }

  #growTo(words: number): void {
    if (words <= this.#words.length) return;
    const grown = new Uint32Array(words);
    grown.set(this.#words);
    this.#words = grown;
  }

  /** Word by word: a range of a whole blob is a thousand steps, not thirty thousand. */
  #change(from: number, last: number, next: (word: number, mask: number, w: number) => number): number {
    let changed = 0;
    for (let w = Math.floor(from / BITS); w <= Math.floor(last / BITS); w += 1) {
      const word = this.word(w);
      const after = next(word, maskOf(from - w * BITS, last - w * BITS), w);
      this.#words[w] = after;
      changed += onesOf(after) - onesOf(word);
    }
    this.#size += changed;
    return Math.abs(changed);
  }
}

/** Bits `from` to `to`, as far as they lie in one word. */
function maskOf(from: number, to: number): number {
  const low = -1 << Math.max(0, from);
  return low & (-1 >>> (BITS - 1 - Math.min(BITS - 1, to)));
}

/** Ones in a word (Warren, Hacker's Delight, 5-1). */
function onesOf(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
