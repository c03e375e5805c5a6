import { type BackoffPolicy, backoffMs, type Random } from '../../shared/backoff.ts';
import { chunkLengthOf } from '../../shared/chunk-ranges.ts';
import type { Clock } from '../../shared/clock.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { CHUNK_BYTES } from '../../shared/protocol/release.ts';
import type { BlobRef, PartialBlob } from '../blobs/blob-store.ts';
import { createHttpRequest, type HttpAnswer } from './http-request.ts';

/**
 * How a blob ended: `absent` where the server has not got it, `refused` where it lets nobody in or has another
 * content, `unreachable` where it was tried often enough. The last two hold for other blobs as well.
 */
export type HttpOutcome = 'complete' | 'absent' | 'refused' | 'unreachable';

/** Blobs on a plain HTTP(S) server: `<base>/<sha256>`, with Range where it knows that. */
export interface HttpSource {
  /**
   * Fetches what is missing of a blob.
   * @throws AppError `system` when the disk fails; the signal's reason. Never because of the server.
   */
  fill(ref: BlobRef, part: PartialBlob, options: FillOptions): Promise<HttpOutcome>;
}

export interface FillOptions {
  readonly signal: AbortSignal;
  readonly onStored: () => void;
}

export interface HttpSourceDeps {
  readonly baseUrl: string;
  /** Read before every request; who redirects is not followed where there is one. */
  readonly token?: (() => Promise<string | undefined>) | undefined;
  readonly fetch?: typeof fetch | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** A server that says nothing for so long is given up, milliseconds. */
  readonly stallMs?: number;
}

const STALL_MS = 10_000;
const RETRY: BackoffPolicy = { firstMs: 500, capMs: 10_000 };
/** A server that gives a byte now and then is no better than one that says nothing: a chunk takes no longer. */
const CHUNK_MS = 60_000;
/** Requests one after the other that bring nothing. */
const MAX_ATTEMPTS = 8;
/** A server that does not know Range sends all of it again and again: this often, and a little. */
const MAX_PASSES = 4;
const SPARE_BYTES = 16 * CHUNK_BYTES;

/** What one request came to. */
type Step = { readonly stored: number; readonly end?: HttpOutcome };

/** Makes a source; nothing is asked before `fill`. */
export function createHttpSource(deps: HttpSourceDeps): HttpSource {
  const { clock, random, log, stallMs = STALL_MS } = deps;
  const request = createHttpRequest({ ...deps, stallMs });

  const step = async (ref: BlobRef, part: PartialBlob, fill: Fill): Promise<Step> => {
    const [run] = part.missing();
    if (run === undefined) return { stored: 0 };
    const from = run[0] * CHUNK_BYTES;
    const to = Math.min(ref.bytes, (run[1] + 1) * CHUNK_BYTES) - 1;
    const before = fill.stored;
    try {
      const answer = await request(ref, { from, to }, fill.signal);
      const end = answer.kind === 'body' ? await take(answer, ref, part, fill, clock) : answer.kind;
      return { stored: fill.stored - before, ...(end === undefined ? {} : { end }) };
    } catch (error) {
      fill.signal.throwIfAborted();
      if (error instanceof AppError && error.code === 'system') throw error;
      log.debug(`blob ${ref.sha256} over HTTP: ${describeError(error)}`);
      return { stored: fill.stored - before };
    }
  };

  /** Waits before the next request; a run that came as a whole is followed by the next one at once. */
  const rest = async (attempt: number, signal: AbortSignal): Promise<void> => {
    if (attempt > 0) await clock.sleep(backoffMs(attempt - 1, RETRY, random), signal);
  };

  return {
    fill: async (ref, part, { signal, onStored }) => {
      const fill: Fill = { signal, onStored, stored: 0, bytesLeft: MAX_PASSES * ref.bytes + SPARE_BYTES };
      let attempt = 0;
      while (!part.isComplete) {
        if (attempt >= MAX_ATTEMPTS || fill.bytesLeft <= 0) return 'unreachable';
        await rest(attempt, signal);
        const { stored, end } = await step(ref, part, fill);
        if (end !== undefined) return end;
        attempt = stored > 0 ? 0 : attempt + 1;
      }
      return 'complete';
    },
  };
}

/** What one blob has taken so far. */
interface Fill extends FillOptions {
  stored: number;
  bytesLeft: number;
}

/** Cuts a body into chunks and stores them. @returns how the blob ended, where this ends it */
async function take(
  answer: Extract<HttpAnswer, { kind: 'body' }>,
  ref: BlobRef,
  part: PartialBlob,
  fill: Fill,
  clock: Pick<Clock, 'monoMs'>,
): Promise<HttpOutcome | undefined> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  let n = answer.from / CHUNK_BYTES;
  let filled = 0;
  let begunMs = clock.monoMs();
  for await (const piece of answer.pieces) {
    fill.bytesLeft -= piece.byteLength;
    for (let at = 0; at < piece.byteLength; ) {
      const length = chunkLengthOf(ref.bytes, n);
      const bytes = piece.subarray(at, at + length - filled);
      chunk.set(bytes, filled);
      filled += bytes.byteLength;
      at += bytes.byteLength;
      if (filled < length) continue;
      // What does not fit, and what goes on after the end, is of another file.
      if (!(await put(part, n, chunk.subarray(0, length), fill))) return 'refused';
      if (part.isComplete) return 'complete';
      n += 1;
      filled = 0;
      begunMs = clock.monoMs();
    }
    if (fill.bytesLeft <= 0 || clock.monoMs() - begunMs > CHUNK_MS) return undefined;
  }
  return undefined;
}

async function put(part: PartialBlob, n: number, bytes: Uint8Array, fill: Fill): Promise<boolean> {
  const written = await part.write(n, bytes);
  if (written === 'stored') {
    fill.stored += 1;
    fill.onStored();
  }
  return written !== 'wrong';
}
