import { setImmediate } from 'node:timers/promises';
import { type BackoffPolicy, backoffMs, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { CHUNK_BYTES, type Want } from '../../shared/protocol/release.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import { createWakeable } from '../../shared/wake.ts';
import { createLine, type Line, type LineOptions, type TakenChunk } from './line.ts';
import { createTokenBucket } from './token-bucket.ts';

export interface TransferLimits {
  /** Bytes of chunks per second, over all blobs; 0: as fast as the broker takes them. */
  readonly bytesPerS: number;
  /** Publishes that the broker has not confirmed yet, at most. */
  readonly inFlight: number;
  /** How long the first chunk of a blob is held back at most while more devices are expected, milliseconds. */
  readonly gatherMs: number;
}

export interface TransferDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly fleet: string;
  readonly log: Logger;
  /** Publishes at QoS 1; rejects when the broker does not take it, and ends within a bounded time. */
  readonly publish: (topic: string, payload: Uint8Array) => Promise<void>;
  /**
   * Whether there is such a blob: names that a device invents must not take the room of others. Without it, that
   * comes out when a chunk is read.
   */
  readonly hasBlob?: (sha256: string) => boolean;
  /** Bytes of chunk `n`; undefined when there is no such blob, or it ends before. */
  readonly readChunk: (sha256: string, n: number) => Promise<Uint8Array | undefined>;
  /**
   * Whether devices other than those in `asked` will ask for this blob soon; asked every 250 ms while the blob
   * is held back, and must not throw.
   */
  readonly expectsMore: LineOptions['expectsMore'];
  readonly limits: TransferLimits;
}

export interface TransferStats {
  /** What the broker has confirmed. */
  readonly publishedChunks: number;
  readonly publishedBytes: number;
  /** Chunks in line. */
  readonly waiting: number;
  /** Chunks that were asked for when they already waited, were under way or had just been sent. */
  readonly merged: number;
  /** Chunks that were asked for and are not there. */
  readonly unknown: number;
  /** Messages of devices for which the line had no room. */
  readonly dropped: number;
}

/** Answers what devices want of blobs, each chunk once for all of them. */
export interface TransferServer extends AsyncDisposable {
  start(): void;
  /** Puts chunks in line; it neither waits nor throws. */
  want(device: string, want: Want): void;
  stats(): TransferStats;
}

export const DEFAULT_TRANSFER_LIMITS: TransferLimits = { bytesPerS: 0, inFlight: 16, gatherMs: 90_000 };

/** Chunks that are read while as many as may are published. */
const READ_AHEAD = 4;
const GATHER_POLL_MS = 250;
const RETRY: BackoffPolicy = { firstMs: 500, capMs: 15_000 };

/** Makes a server that answers from `start` until it is disposed. */
export function createTransferServer(deps: TransferDeps): TransferServer {
  return new ChunkServer(deps);
}

class ChunkServer implements TransferServer {
  readonly #deps: TransferDeps;
  readonly #line: Line;
  readonly #wakeable;
  readonly #bucket;
  readonly #turns;
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  #running: Promise<void> | undefined;
  #published = { chunks: 0, bytes: 0 };
  /** Chunks that were asked for of blobs that are not there. */
  #strange = 0;
  /** The broker takes nothing: nothing is sent before. */
  #pausedUntilMs = 0;
  #failures = 0;

  constructor(deps: TransferDeps) {
    const { clock, expectsMore, limits } = deps;
    this.#deps = deps;
    this.#line = createLine({ gatherMs: limits.gatherMs, expectsMore });
    this.#wakeable = createWakeable(clock);
    this.#bucket = createTokenBucket(clock, limits.bytesPerS, CHUNK_BYTES);
    this.#turns = createTurnstile(limits.inFlight);
  }

  start(): void {
    const { clock, random, log } = this.#deps;
    const onFault = (error: unknown) =>
      log.error({ err: error }, 'sending chunks failed and is started again');
    const loop = (signal: AbortSignal) => this.#loop(signal);
    this.#running ??= supervise(loop, this.#stopping.signal, { clock, random, policy: RETRY, onFault });
  }

  want(device: string, want: Want): void {
    const { hasBlob } = this.#deps;
    if (hasBlob !== undefined && !hasBlob(want.sha256)) {
      this.#strange += want.chunks.reduce((sum, [first, last]) => sum + last + 1 - first, 0);
      return;
    }
    this.#line.want(device, want, this.#deps.clock.monoMs());
    this.#wakeable.wake();
  }

  stats(): TransferStats {
    const { chunks: publishedChunks, bytes: publishedBytes } = this.#published;
    const { merged, unknown, dropped } = this.#line.counts;
    const counts = { merged, unknown: unknown + this.#strange, dropped };
    return { publishedChunks, publishedBytes, waiting: this.#line.waiting, ...counts };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await Promise.all(this.#underWay);
  }

  async #loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const nowMs = this.#deps.clock.monoMs();
      const restMs = this.#restMs(nowMs);
      const chunk = restMs === 0 ? this.#line.take(nowMs) : undefined;
      if (chunk !== undefined) this.#begin(chunk);
      else await this.#wakeable.sleep(restMs === 0 ? this.#idleMs() : restMs, signal);
    }
  }

  /** How long nothing at all may be sent; undefined: until something that is under way has ended. */
  #restMs(nowMs: number): number | undefined {
    if (this.#underWay.size >= this.#deps.limits.inFlight + READ_AHEAD) return undefined;
    return Math.max(this.#pausedUntilMs - nowMs, this.#bucket.waitMs(CHUNK_BYTES), 0);
  }

  #idleMs(): number | undefined {
    return this.#line.isGathering ? GATHER_POLL_MS : undefined;
  }

  #begin(chunk: TakenChunk): void {
    this.#bucket.spend(CHUNK_BYTES);
    const work = this.#send(chunk).finally(() => {
      this.#underWay.delete(work);
      this.#wakeable.wake();
    });
    this.#underWay.add(work);
  }

  /** Never rejects. */
  async #send(chunk: TakenChunk): Promise<void> {
    // The connection and this thread are those of the telemetry too, whose turn comes between any two chunks.
    await setImmediate();
    const bytes = await this.#read(chunk);
    this.#bucket.spend((bytes?.byteLength ?? 0) - CHUNK_BYTES);
    if (bytes === undefined) return;
    await this.#turns.enter();
    try {
      await this.#publish(chunk, bytes);
    } finally {
      this.#turns.leave();
    }
  }

  async #read(chunk: TakenChunk): Promise<Uint8Array | undefined> {
    try {
      const bytes = await this.#deps.readChunk(chunk.sha256, chunk.n);
      if (bytes === undefined) this.#line.absent(chunk);
      return bytes;
    } catch (error) {
      this.#deps.log.warn(`chunk ${chunk.n} of blob ${chunk.sha256}: ${describeError(error)}`);
      this.#line.drop(chunk);
      return undefined;
    }
  }

  async #publish(chunk: TakenChunk, bytes: Uint8Array): Promise<void> {
    const { clock, fleet, publish } = this.#deps;
    if (this.#stopping.signal.aborted) return;
    try {
      await publish(topicOf('chunk', { fleet, sha256: chunk.sha256, n: String(chunk.n) }), bytes);
      this.#line.sent(chunk, clock.monoMs());
      this.#published.chunks += 1;
      this.#published.bytes += bytes.byteLength;
      this.#failures = 0;
    } catch (error) {
      this.#line.putBack(chunk);
      this.#pause(error);
    }
  }

  /** All that were under way fail together when the link ends: that counts once. */
  #pause(error: unknown): void {
    const { clock, random, log } = this.#deps;
    const nowMs = clock.monoMs();
    if (nowMs < this.#pausedUntilMs) return;
    const waitMs = backoffMs(this.#failures, RETRY, random);
    if (this.#failures === 0) log.warn(`chunks wait: ${describeError(error)}`);
    this.#failures += 1;
    this.#pausedUntilMs = nowMs + waitMs;
  }
}

/** Lets `places` in at once; the others wait in the order in which they came. */
function createTurnstile(places: number) {
  let free = places;
  const waiting: (() => void)[] = [];
  return {
    enter: async (): Promise<void> => {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
    },
    leave: (): void => {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    },
  };
}
