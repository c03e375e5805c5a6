import type { Want } from '../../shared/protocol/release.ts';
import { type Asked, type BlobLine, createBlobLine } from './blob-line.ts';

/** Blobs of which chunks are wanted, or were sent lately: several releases of the most blobs. */
const MAX_BLOBS = 1_024;
/** Devices that are remembered to have asked for a blob, of all blobs together. */
const MAX_ASKED = 65_536;
/** A line in which nothing happens is kept for so long beyond the time of gathering. */
const KEEP_MS = 5_000;

export interface LineOptions {
  /** Longest time that the first chunk of a blob is held back, milliseconds. */
  readonly gatherMs: number;
  /** Whether more devices than those that have asked will ask for the blob soon. */
  readonly expectsMore: (blob: Held) => boolean;
}

/** A blob that is held back. */
export interface Held {
  readonly sha256: string;
  /** Devices that have asked for it. */
  readonly asked: ReadonlySet<string>;
  /** Since when, and since a device asked that had not before, milliseconds. */
  readonly heldMs: number;
  readonly quietMs: number;
}

export interface LineCounts {
  /** Chunks that were asked for while they waited, were under way or had just been sent. */
  merged: number;
  /** Chunks of blobs that are not there, or beyond the end of one. */
  unknown: number;
  /** Messages for which there was no room. */
  dropped: number;
}

/** A chunk that is under way. */
export interface TakenChunk {
  readonly sha256: string;
  readonly n: number;
}

/** All wanted chunks of all blobs, each once, however many devices want it. */
export interface Line {
  readonly counts: Readonly<LineCounts>;
  readonly waiting: number;
  /** Whether something waits for more devices to ask. */
  readonly isGathering: boolean;
  want(device: string, want: Want, nowMs: number): void;
  /** The next chunk to send, of the blob whose turn it is; undefined when none may be sent now. */
  take(nowMs: number): TakenChunk | undefined;
  sent(chunk: TakenChunk, nowMs: number): void;
  putBack(chunk: TakenChunk): void;
  drop(chunk: TakenChunk): void;
  /** There is no such chunk. */
  absent(chunk: TakenChunk): void;
}

interface Entry {
  readonly line: BlobLine;
  readonly asked: Set<string>;
  /** Nothing is sent before, unless nobody else is expected; undefined: it is not held back. */
  heldUntilMs: number | undefined;
  /** When a device asked last that had not before. */
  joinedMs: number;
  hasSent: boolean;
}

/** Makes an empty line. */
export function createLine(options: LineOptions): Line {
  return new MergedLine(options);
}

class MergedLine implements Line {
  readonly counts: LineCounts = { merged: 0, unknown: 0, dropped: 0 };
  readonly #options: LineOptions;
  /** In the order of their turns. */
  readonly #blobs = new Map<string, Entry>();
  #askedCount = 0;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return [...this.#blobs.values()].reduce((sum, { line }) => sum + line.waiting, 0);
  }

  get isGathering(): boolean {
    return [...this.#blobs.values()].some(({ heldUntilMs }) => heldUntilMs !== undefined);
  }

  want(device: string, { sha256, chunks }: Want, nowMs: number): void {
    const entry = this.#find(sha256, nowMs) ?? this.#open(sha256, nowMs);
    if (entry === undefined) {
      this.counts.dropped += 1;
      return;
    }
    const wasIdle = entry.line.isIdle;
    const isFirst = !entry.asked.has(device);
    if (isFirst) entry.joinedMs = nowMs;
    if (isFirst && this.#askedCount < MAX_ASKED) {
      entry.asked.add(device);
      this.#askedCount += 1;
    }
    const asked = entry.line.want(chunks, nowMs);
    this.#count(asked);
    // Who asks again has lost something; the others have what they came for.
    if (wasIdle && isFirst && asked.added > 0) entry.heldUntilMs = nowMs + this.#options.gatherMs;
  }

  take(nowMs: number): TakenChunk | undefined {
    for (const [sha256, entry] of this.#blobs) {
      if (entry.line.waiting === 0 || this.#isHeld(sha256, entry, nowMs)) continue;
      const n = entry.line.take();
      if (n === undefined) continue;
      this.#blobs.delete(sha256);
      this.#blobs.set(sha256, entry);
      return { sha256, n };
    }
    return undefined;
  }

  sent({ sha256, n }: TakenChunk, nowMs: number): void {
    const entry = this.#blobs.get(sha256);
    if (entry === undefined) return;
    entry.hasSent = true;
    entry.line.sent(n, nowMs);
  }

  putBack({ sha256, n }: TakenChunk): void {
    this.#blobs.get(sha256)?.line.putBack(n);
  }

  drop({ sha256, n }: TakenChunk): void {
    this.#blobs.get(sha256)?.line.drop(n);
  }

  absent({ sha256, n }: TakenChunk): void {
    const entry = this.#blobs.get(sha256);
    if (entry === undefined) return;
    this.counts.unknown += entry.line.endAt(n);
    // Nothing of it was ever there: it may be published later, and until then takes no room.
    if (!entry.hasSent && entry.line.isIdle) this.#close(sha256, entry);
  }

  #isHeld(sha256: string, entry: Entry, nowMs: number): boolean {
    if (entry.heldUntilMs === undefined) return false;
    const { gatherMs, expectsMore } = this.#options;
    const heldMs = nowMs - (entry.heldUntilMs - gatherMs);
    const blob = { sha256, asked: entry.asked, heldMs, quietMs: nowMs - entry.joinedMs };
    if (nowMs < entry.heldUntilMs && expectsMore(blob)) return true;
    entry.heldUntilMs = undefined;
    return false;
  }

  #count({ merged, unknown }: Asked): void {
    this.counts.merged += merged;
    this.counts.unknown += unknown;
  }

  /** What has rested for long is as if it had never been: the next device is the first again. */
  #find(sha256: string, nowMs: number): Entry | undefined {
    const entry = this.#blobs.get(sha256);
    if (entry === undefined || !this.#isOver(entry, nowMs)) return entry;
    this.#close(sha256, entry);
    return undefined;
  }

  #open(sha256: string, nowMs: number): Entry | undefined {
    if (this.#blobs.size >= MAX_BLOBS) this.#forgetIdle(nowMs);
    if (this.#blobs.size >= MAX_BLOBS) return undefined;
    const entry: Entry = {
      line: createBlobLine(nowMs),
      asked: new Set(),
      heldUntilMs: undefined,
      joinedMs: nowMs,
      hasSent: false,
    };
    this.#blobs.set(sha256, entry);
    return entry;
  }

  #forgetIdle(nowMs: number): void {
    for (const [sha256, entry] of this.#blobs) {
      if (this.#isOver(entry, nowMs)) this.#close(sha256, entry);
    }
  }

  #isOver({ line }: Entry, nowMs: number): boolean {
    return line.isIdle && nowMs - line.sentMs > this.#options.gatherMs + KEEP_MS;
  }

  #close(sha256: string, entry: Entry): void {
    this.#blobs.delete(sha256);
    this.#askedCount -= entry.asked.size;
  }
}
