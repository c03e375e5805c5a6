import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { AppError, describeError } from '../../shared/errors.ts';
import { type ApiRequest, type Credentials, lost, parseBody, refusal, tooLate, urlOf } from './client.ts';

export interface StreamRequest extends ApiRequest {
  /** Ends the request, and with it the body. */
  readonly signal?: AbortSignal;
  /** The body fails when nothing comes for this long; without it, it may be silent for ever. */
  readonly silenceMs?: number;
}

/** The body of an answer as it comes. Where it is cut off, it throws an AppError `unreachable`. */
export type Body = AsyncIterable<Uint8Array>;

/** Makes a request of the controller's API; what is not read of the body, `signal` ends. */
export type Streams = (request: StreamRequest) => Promise<Body>;

/** Until the answer begins. */
const TIMEOUT_MS = 30_000;
/** How soon a controller whose machine or network went away without a word is missed. */
const KEEP_ALIVE_MS = 30_000;
/** More of a refusal is not read. */
const REFUSAL_CHARACTERS = 65_536;

/**
 * Answers that are too long, or take too long, for `createClient`. By node:http, and not by `fetch`, which
 * gives up on what is silent for five minutes: a fleet may have nothing to tell for longer.
 */
export function createStreams(credentials: Credentials): Streams {
  return async (wanted) => {
    const response = await begin(credentials, wanted);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return bodyOf(response, credentials.url);
    const text = await beginOf(response).catch((error: unknown) => {
      throw lost(credentials.url, TIMEOUT_MS, error);
    });
    throw refusal(credentials.url, status, parseBody(credentials.url, text, false));
  };
}

async function begin({ url, token }: Credentials, wanted: StreamRequest): Promise<IncomingMessage> {
  const { method, body, signal, silenceMs, timeoutMs = TIMEOUT_MS } = wanted;
  const place = new URL(urlOf(url, wanted));
  const send = place.protocol === 'https:' ? httpsRequest : httpRequest;
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body !== undefined && { 'content-type': 'application/json' }),
  };
  const outgoing = send(place, { method, headers, timeout: timeoutMs, ...(signal && { signal }) });
  const giveUp = (): unknown => outgoing.destroy(tooLate(url, timeoutMs));
  outgoing.once('timeout', giveUp);
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  const response = await answerOf(outgoing, url, timeoutMs);
  outgoing.off('timeout', giveUp);
  response.socket.setKeepAlive(true, KEEP_ALIVE_MS);
  outgoing.setTimeout(silenceMs ?? 0, () => {
    response.destroy(new AppError('timeout', `the controller at ${url} sent nothing more`));
  });
  return response;
}

async function answerOf(outgoing: ClientRequest, url: string, timeoutMs: number): Promise<IncomingMessage> {
  // What fails is told where the answer is waited for, or its body is read, and nowhere else.
  const heard = (): undefined => undefined;
  outgoing.on('error', heard);
  try {
    const [response] = await once(outgoing, 'response');
    return response.on('error', heard);
  } catch (error) {
    throw error instanceof AppError ? error : lost(url, timeoutMs, error);
  }
}

async function* bodyOf(response: IncomingMessage, url: string): AsyncGenerator<Uint8Array> {
  try {
    yield* response;
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('unreachable', `the controller at ${url} is gone (${describeError(error)})`);
  }
}

async function beginOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    if (text.length > REFUSAL_CHARACTERS) break;
  }
  return text;
}
