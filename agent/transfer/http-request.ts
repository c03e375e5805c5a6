import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { BlobRef } from '../blobs/blob-store.ts';

export interface HttpRequestDeps {
  readonly baseUrl: string;
  readonly token?: (() => Promise<string | undefined>) | undefined;
  readonly fetch?: typeof fetch | undefined;
  readonly clock: Clock;
  readonly stallMs: number;
}

/** What a server answered, where it is worth anything. */
export type HttpAnswer =
  | { readonly kind: 'absent' | 'refused' }
  /** Bytes from offset `from` on, which is where a chunk begins. Who stops reading ends the request. */
  | { readonly kind: 'body'; readonly from: number; readonly pieces: AsyncIterable<Uint8Array> };

/** Closed. */
interface ByteRange {
  readonly from: number;
  readonly to: number;
}

export type HttpRequest = (ref: BlobRef, range: ByteRange, signal: AbortSignal) => Promise<HttpAnswer>;

/** Makes what asks for a range of a blob; it throws where it may work later: no answer, or a status of 5xx. */
export function createHttpRequest(deps: HttpRequestDeps): HttpRequest {
  const { clock, stallMs } = deps;
  const base = deps.baseUrl.endsWith('/') ? deps.baseUrl : `${deps.baseUrl}/`;
  const get = deps.fetch ?? fetch;
  return async (ref, range, signal) => {
    const url = new URL(ref.sha256, base);
    const token = await deps.token?.().catch((cause: unknown) => {
      throw new AppError('unauthorized', 'the token of the HTTP source cannot be read', { cause });
    });
    const giveUp = new AbortController();
    const response = await within(
      get(url, {
        // A token is for this server, and for nobody it names.
        redirect: token === undefined ? 'follow' : 'manual',
        signal: AbortSignal.any([signal, giveUp.signal]),
        headers: headersOf(range, token),
      }),
      { clock, ms: stallMs, giveUp },
    );
    const answer = readAnswer(response, ref, range, { clock, ms: stallMs, giveUp });
    // What is not read must not be sent either.
    if (answer?.kind !== 'body') await response.body?.cancel();
    if (answer === undefined) throw new AppError('unreachable', `${url.origin}: status ${response.status}`);
    return answer;
  };
}

function headersOf({ from, to }: ByteRange, token: string | undefined): Record<string, string> {
  return {
    Range: `bytes=${from}-${to}`,
    'Accept-Encoding': 'identity',
    'User-Agent': 'ofa-fleet',
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
  };
}

const GONE: ReadonlySet<number> = new Set([404, 410]);

/** @returns undefined where it may work later */
function readAnswer(
  response: Response,
  ref: BlobRef,
  range: ByteRange,
  patience: Patience,
): HttpAnswer | undefined {
  const { status, headers, body } = response;
  if (GONE.has(status)) return { kind: 'absent' };
  if (status >= 300 && status < 500) return { kind: 'refused' };
  if ((status !== 200 && status !== 206) || body === null) return undefined;
  // A server that does not know Range begins at the beginning.
  const from =
    status === 200 ? 0 : Number(/^bytes (\d{1,12})-/.exec(headers.get('content-range') ?? '')?.[1]);
  if (status === 206 && from !== range.from) return { kind: 'refused' };
  const length = headers.get('content-length');
  if (status === 200 && length !== null && Number(length) !== ref.bytes) return { kind: 'refused' };
  return { kind: 'body', from, pieces: piecesOf(body, patience) };
}

interface Patience {
  readonly clock: Clock;
  readonly ms: number;
  readonly giveUp: AbortController;
}

async function* piecesOf(
  body: ReadableStream<Uint8Array>,
  patience: Patience,
): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), patience);
      if (done) return;
      yield value;
    }
  } finally {
    patience.giveUp.abort();
    await reader.cancel().catch(() => undefined);
  }
}

/** @throws AppError `timeout`, and gives the request up, when it takes longer */
async function within<T>(work: Promise<T>, { clock, ms, giveUp }: Patience): Promise<T> {
  const done = new AbortController();
  const late = clock.sleep(ms, done.signal).then(() => {
    throw new AppError('timeout', `the server said nothing for ${ms} ms`);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    giveUp.abort();
    throw error;
  } finally {
    done.abort();
    late.catch(() => undefined);
  }
}
