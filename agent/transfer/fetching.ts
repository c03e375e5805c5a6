import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { CHUNK_BYTES, MAX_WANTED_RANGES } from '../../shared/protocol/release.ts';
import { createWakeable } from '../../shared/wake.ts';
import type { BlobRef, BlobStore, PartialBlob } from '../blobs/blob-store.ts';
import { type Asker, createAsker, type Wanted } from './asker.ts';
import type { HttpSource } from './http-source.ts';
import type { LinkState } from './link-state.ts';
import { createStallWatch, type StallWatch } from './stall-watch.ts';

export interface FetchOptions {
  readonly signal: AbortSignal;
  /** Longest time without progress, counted while the link is up, milliseconds. */
  readonly noProgressMs: number;
  /** Must not throw. `bytes` goes back where a blob turned out wrong as a whole. */
  readonly onProgress: (done: { readonly bytes: number; readonly ofBytes: number }) => void;
}

export interface FetchingDeps {
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Is asked first; what it does not have comes by way of the link. */
  readonly http?: HttpSource | undefined;
  readonly links: LinkState;
  readonly counts: { stored: number; dropped: number; wrong: number; unasked: number };
}

export interface ReceivedChunk {
  readonly sha256: string;
  readonly n: number;
  readonly bytes: Uint8Array;
}

/** One fetch, from its beginning to its end. */
export interface Fetching {
  run(refs: readonly BlobRef[]): Promise<void>;
  /** Never throws, never waits. */
  receive(chunk: ReceivedChunk): void;
}

/** Chunks that wait for the disk: 8 MiB. */
const QUEUE_CHUNKS = 128;
/** Chunks that are written at once: as many as one turn of the event loop reads from a socket that is full. */
const MAX_WRITES = 32;
/** How often all chunks of a blob may come and make a whole that is wrong. */
const MAX_STRIKES = 3;
/** Makes a fetch; it is over when `run` ends. */
export function createFetching(deps: FetchingDeps, options: FetchOptions): Fetching {
  return new BlobsFetching(deps, options);
}

interface Part {
  readonly ref: BlobRef;
  readonly blob: PartialBlob;
  strikes: number;
  /** Several writes may find that it is complete; one of them is the last. */
  isFinishing: boolean;
  /** Of what was asked for last, where that was not all: the last chunk, and how many are still to come. */
  asked: { readonly to: number; left: number } | undefined;
}

function newPart(ref: BlobRef, blob: PartialBlob): Part {
  return { ref, blob, strikes: 0, isFinishing: false, asked: undefined };
}

class BlobsFetching implements Fetching {
  readonly #deps: FetchingDeps;
  readonly #options: FetchOptions;
  readonly #asker: Asker;
  readonly #watch: StallWatch;
  readonly #wakeable;
  readonly #stop = new AbortController();
  readonly #parts = new Map<string, Part>();
  readonly #queue: ReceivedChunk[] = [];
  readonly #writes = new Set<Promise<void>>();
  /** Of blobs that are there. */
  #doneBytes = 0;
  #ofBytes = 0;
  /** Whether chunks are taken: not before there is a way to ask for them. */
  #isOpen = false;
  /** Wholes are checked one after the other, beside the chunks that come. */
  #finishing = Promise.resolve();
  #finishingCount = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(deps: FetchingDeps, options: FetchOptions) {
    const { clock, links } = deps;
    this.#deps = deps;
    this.#options = options;
    this.#wakeable = createWakeable(clock);
    this.#asker = createAsker({ ...deps, wanted: () => this.#wanted() });
    const isBusy = (): boolean => this.#finishingCount > 0;
    this.#watch = createStallWatch({ clock, links, isBusy, limitMs: options.noProgressMs });
  }

  async run(refs: readonly BlobRef[]): Promise<void> {
    try {
      await this.#open(refs);
      await this.#fetchOverHttp();
      if (this.#parts.size > 0) await this.#fetchOverLink();
    } finally {
      const followed = this.#isOpen ? [...this.#parts.keys()] : [];
      this.#isOpen = false;
      await Promise.all(this.#writes);
      await this.#finishing;
      this.#unfollow(followed);
      for (const { blob } of this.#parts.values()) await blob[Symbol.asyncDispose]();
    }
  }

  receive(chunk: ReceivedChunk): void {
    const { counts } = this.#deps;
    if (!this.#isOpen || !this.#parts.has(chunk.sha256)) counts.unasked += 1;
    else if (chunk.bytes.byteLength > CHUNK_BYTES) counts.wrong += 1;
    else if (this.#queue.length >= QUEUE_CHUNKS) this.#drop();
    else if (this.#queue.push(chunk) === 1) this.#wakeable.wake();
  }

  #drop(): void {
    this.#deps.counts.dropped += 1;
    this.#asker.lost();
  }

  async #open(refs: readonly BlobRef[]): Promise<void> {
    const { store } = this.#deps;
    const blobs = new Map(refs.map((ref) => [ref.sha256, ref]));
    for (const [sha256, ref] of blobs) {
      this.#options.signal.throwIfAborted();
      this.#ofBytes += ref.bytes;
      if (await store.has(ref)) this.#doneBytes += ref.bytes;
      else this.#parts.set(sha256, newPart(ref, await store.open(ref)));
    }
    this.#tell();
  }

  /** Whatever goes wrong with that server, the link is still there; a disk that fails ends both. */
  async #fetchOverHttp(): Promise<void> {
    const { http, log } = this.#deps;
    if (http === undefined) return;
    const { signal } = this.#options;
    for (const part of [...this.#parts.values()]) {
      const outcome = await http.fill(part.ref, part.blob, { signal, onStored: () => this.#stored() });
      if (part.blob.isComplete) await this.#finish(part);
      // What was wrong as a whole may be right when it comes another way.
      part.strikes = 0;
      if (outcome === 'refused' || outcome === 'unreachable') {
        log.warn('the HTTP source of blobs does not help; the rest is asked for over the link');
        return;
      }
    }
  }

  async #fetchOverLink(): Promise<void> {
    this.#isOpen = true;
    const unwatch = this.#deps.links.watch(() => {
      this.#asker.linkChanged();
      this.#watch.linkChanged();
    });
    // What was before, on disk and over HTTP, is not time of the link.
    this.#watch.progressed();
    for (const part of this.#parts.values()) if (part.blob.isComplete) this.#finishLater(part);
    const signal = AbortSignal.any([this.#options.signal, this.#stop.signal]);
    const loops = [this.#store(signal), this.#asker.run(signal), this.#watch.run(signal)];
    try {
      await Promise.all(loops.map((loop) => this.#endWith(loop)));
    } finally {
      unwatch();
    }
    this.#options.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The first loop that ends ends the others; what it threw is what the fetch throws. */
  async #endWith(loop: Promise<void>): Promise<void> {
    try {
      await loop;
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#failure ??= { error };
    } finally {
      this.#stop.abort();
    }
  }

  async #store(signal: AbortSignal): Promise<void> {
    while (this.#parts.size > 0) {
      signal.throwIfAborted();
      if (this.#failure !== undefined) return;
      const chunk = this.#writes.size < MAX_WRITES ? this.#queue.shift() : undefined;
      if (chunk === undefined) await this.#wakeable.sleep(undefined, signal);
      else this.#takeBeside(chunk);
    }
  }

  /** Several at once: a disk has its delays. */
  #takeBeside(chunk: ReceivedChunk): void {
    const work = this.#take(chunk)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#writes.delete(work);
        this.#wakeable.wake();
      });
    this.#writes.add(work);
  }

  async #take({ sha256, n, bytes }: ReceivedChunk): Promise<void> {
    const part = this.#parts.get(sha256);
    if (part === undefined) return;
    const written = await part.blob.write(n, bytes);
    if (written === 'wrong') this.#deps.counts.wrong += 1;
    if (written !== 'stored') return;
    this.#stored();
    this.#asker.heard();
    if (part.blob.isComplete) this.#finishLater(part);
    else this.#countAsked(part, n);
  }

  #stored(): void {
    this.#deps.counts.stored += 1;
    this.#watch.progressed();
    this.#tell();
  }

  /** One message asks for a bounded number of runs; when they have come, the next are asked for. */
  #countAsked({ asked }: Part, n: number): void {
    if (asked === undefined || n > asked.to) return;
    asked.left -= 1;
    if (asked.left === 0) this.#asker.askNow();
  }

  #wanted(): Wanted[] {
    return [...this.#parts.values()].map((part) => {
      const missing = part.blob.missing();
      const isAll = missing.length < MAX_WANTED_RANGES;
      const left = missing.reduce((sum, [from, to]) => sum + to - from + 1, 0);
      part.asked = isAll ? undefined : { to: missing.at(-1)?.[1] ?? 0, left };
      return { sha256: part.ref.sha256, missing };
    });
  }

  #finishLater(part: Part): void {
    if (part.isFinishing || this.#failure !== undefined) return;
    part.isFinishing = true;
    this.#finishingCount += 1;
    const finish = async (): Promise<void> => {
      try {
        await this.#finish(part);
      } catch (error) {
        this.#failure ??= { error };
      } finally {
        part.isFinishing = false;
        this.#finishingCount -= 1;
        // What was thrown away may have come again meanwhile.
        if (this.#parts.has(part.ref.sha256) && part.blob.isComplete) this.#finishLater(part);
        this.#watch.progressed();
        this.#wakeable.wake();
      }
    };
    this.#finishing = this.#finishing.then(finish);
  }

  async #finish(part: Part): Promise<void> {
    const { ref, blob } = part;
    try {
      await blob.finish();
    } catch (error) {
      part.strikes += 1;
      const isWrong = error instanceof AppError && error.code === 'invalid';
      if (!isWrong || part.strikes >= MAX_STRIKES) throw error;
      this.#deps.log.warn(`${describeError(error)}; it is fetched again`);
      this.#tell();
      this.#asker.askNow();
      return;
    }
    this.#parts.delete(ref.sha256);
    this.#doneBytes += ref.bytes;
    if (this.#isOpen) this.#unfollow([ref.sha256]);
    await blob[Symbol.asyncDispose]();
  }

  /** Nobody waits for it: a link that ends forgets its topics anyway. */
  #unfollow(sha256: readonly string[]): void {
    const link = this.#deps.links.current;
    if (link === undefined || sha256.length === 0) return;
    link.channel.unfollow(sha256).catch((error: unknown) => {
      this.#deps.log.debug(`topics of blobs: ${describeError(error)}`);
    });
  }

  #tell(): void {
    const parts = [...this.#parts.values()].reduce((sum, { blob }) => sum + blob.doneBytes, 0);
    this.#options.onProgress({ bytes: this.#doneBytes + parts, ofBytes: this.#ofBytes });
  }
}
