import { type ChunkSet, createChunkSet, MAX_CHUNKS } from '../../shared/chunk-ranges.ts';
import type { ChunkRange } from '../../shared/protocol/release.ts';

/**
 * A chunk that was sent is not sent again for this long, and at most a quarter longer: who asks for it has it on
 * its way. Agents wait longer before they ask for what they have lost.
 */
const COOLDOWN_MS = 1_000;
/** The cooldown is counted in as many turns, each with a set of what was sent in it. */
const TURNS = 4;
const TURN_MS = COOLDOWN_MS / TURNS;

/** What became of the chunks that one device asked for. */
export interface Asked {
  readonly added: number;
  /** They wait already, are on their way, or were sent just now. */
  readonly merged: number;
  /** Beyond the end of the blob. */
  readonly unknown: number;
}

/** The chunks of one blob that are wanted, and those that were sent lately: a few bitmaps, whoever asks. */
export interface BlobLine {
  readonly waiting: number;
  /** Nothing waits and nothing is under way. */
  readonly isIdle: boolean;
  /** Last time that something was sent; before the first, when the line was made. */
  readonly sentMs: number;
  want(ranges: readonly ChunkRange[], nowMs: number): Asked;
  /** The next chunk to send; it is under way until `sent`, `putBack` or `drop`. */
  take(): number | undefined;
  sent(n: number, nowMs: number): void;
  /** It could not be sent: it waits again. */
  putBack(n: number): void;
  /** It cannot be read; who needs it asks again. */
  drop(n: number): void;
  /** There is no chunk `n`, nor one after it. @returns how many were wanted in vain */
  endAt(n: number): number;
}

/** Makes the line of a blob for which nothing waits. */
export function createBlobLine(nowMs: number): BlobLine {
  return new Line(nowMs);
}

class Line implements BlobLine {
  readonly #waiting = createChunkSet();
  readonly #underWay = createChunkSet();
  /** What was sent in each of the last turns, the present one first. */
  #sent: readonly ChunkSet[] = [createChunkSet()];
  #turnedMs: number;
  #sentMs: number;
  #end = MAX_CHUNKS;
  /** Sweeps over the blob: who joins in the middle hears the rest first, and then the beginning. */
  #cursor = 0;

  constructor(nowMs: number) {
    this.#turnedMs = nowMs;
    this.#sentMs = nowMs;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get isIdle(): boolean {
    return this.#waiting.size + this.#underWay.size === 0;
  }

  get sentMs(): number {
    return this.#sentMs;
  }

  want(ranges: readonly ChunkRange[], nowMs: number): Asked {
    this.#coolDown(nowMs);
    const barred: readonly ChunkSet[] = [this.#underWay, ...this.#sent];
    let [asked, added, unknown, from] = [0, 0, 0, 0];
    for (const [first, last] of ranges) {
      // They come in order: what overlaps is not gone through again, however often it is named.
      from = Math.max(from, first);
      if (last < from) continue;
      const end = Math.min(last + 1, this.#end);
      added += end > from ? this.#waiting.add([from, end - 1], barred) : 0;
      asked += Math.max(0, end - from);
      unknown += last + 1 - Math.max(from, end);
      from = last + 1;
    }
    return { added, merged: asked - added, unknown };
  }

  take(): number | undefined {
    const n = this.#waiting.next(this.#cursor) ?? this.#waiting.next(0);
    if (n === undefined) return undefined;
    this.#waiting.remove([n, n]);
    this.#underWay.add([n, n]);
    this.#cursor = n + 1;
    return n;
  }

  sent(n: number, nowMs: number): void {
    this.#coolDown(nowMs);
    this.#underWay.remove([n, n]);
    this.#sent[0]?.add([n, n]);
    this.#sentMs = nowMs;
  }

  putBack(n: number): void {
    this.#underWay.remove([n, n]);
    if (n < this.#end) this.#waiting.add([n, n]);
  }

  drop(n: number): void {
    this.#underWay.remove([n, n]);
  }

  endAt(n: number): number {
    this.#underWay.remove([n, n]);
    this.#end = Math.min(this.#end, n);
    return 1 + this.#waiting.remove([n, MAX_CHUNKS - 1]);
  }

  #coolDown(nowMs: number): void {
    const turns = Math.floor((nowMs - this.#turnedMs) / TURN_MS);
    if (turns <= 0) return;
    const fresh = Array.from({ length: Math.min(turns, TURNS + 1) }, createChunkSet);
    this.#sent = [...fresh, ...this.#sent].slice(0, TURNS + 1);
    this.#turnedMs += turns * TURN_MS;
  }
}
