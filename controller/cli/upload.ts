import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, describeError } from '../../shared/errors.ts';
import type { MissingBlobsAnswer, ReleasePost, ReleaseSummary } from '../api/release-schemas.ts';
import { type Credentials, lost, parseBody, refusal, tooLate } from './client.ts';

/** A file that goes to the controller as it is. */
export interface UploadFile {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

export interface Uploads {
  /**
   * Sends a file as a blob, streamed; `onSent` is told of every piece.
   * @throws AppError also `invalid` when the file became shorter meanwhile
   */
  putBlob(file: UploadFile, onSent: (bytes: number) => void): Promise<void>;
  /** Publishes a release, or learns which blobs have to be put first. */
  publish(body: ReleasePost): Promise<{ release: ReleaseSummary } | { missing: readonly string[] }>;
}

/** Nothing moves for so long: the controller is gone, or its disk stands still. */
const STILL_MS = 120_000;
/** The controller reads all blobs of a release: gigabytes from a slow disk. */
const PUBLISH_MS = 900_000;
/** More of an answer is not read. */
const ANSWER_CHARACTERS = 262_144;

/** What is too long for `createClient` to send. By node:http, which sends a file with its length. */
export function createUploads(credentials: Credentials): Uploads {
  return {
    putBlob: async (file, onSent) => {
      const { status, body } = await exchange(credentials, {
        ...{ method: 'PUT', path: `/v1/blobs/${file.sha256}`, type: 'application/octet-stream' },
        ...{ bytes: file.bytes, parts: partsOf(file, onSent), stillMs: STILL_MS },
      });
      if (status >= 300) throw refusal(credentials.url, status, body);
    },
    publish: async (release) => {
      const text = Buffer.from(JSON.stringify(release));
      const { status, body } = await exchange(credentials, {
        ...{ method: 'POST', path: '/v1/releases', type: 'application/json' },
        ...{ bytes: text.length, parts: Readable.from([text]), stillMs: PUBLISH_MS },
      });
      const missing = status === 409 ? missingOf(body) : undefined;
      if (missing !== undefined) return { missing };
      if (status >= 300) throw refusal(credentials.url, status, body);
      return { release: body as ReleaseSummary };
    },
  };
}

function missingOf(body: unknown): MissingBlobsAnswer['missing'] | undefined {
  const missing = typeof body === 'object' && body !== null ? Reflect.get(body, 'missing') : undefined;
  if (!Array.isArray(missing)) return undefined;
  return missing.filter((sha256): sha256 is string => typeof sha256 === 'string');
}

async function* partsOf(
  { path, bytes }: UploadFile,
  onSent: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let sent = 0;
  // What was added since its size was taken belongs to another content.
  for await (const part of createReadStream(path, { end: bytes - 1 })) {
    yield part;
    sent += part.length;
    onSent(part.length);
  }
  if (sent === bytes) return;
  throw new AppError('invalid', `${path}: it became shorter while it was sent: ${sent} of ${bytes} bytes`);
}

interface Outgoing {
  readonly method: 'PUT' | 'POST';
  readonly path: string;
  readonly type: string;
  /** Of the whole body. */
  readonly bytes: number;
  readonly parts: AsyncIterable<Uint8Array>;
  readonly stillMs: number;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function exchange({ url, token }: Credentials, wanted: Outgoing): Promise<Answer> {
  const place = new URL(`${url}${wanted.path}`);
  const send = place.protocol === 'https:' ? httpsRequest : httpRequest;
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': wanted.type,
    'content-length': wanted.bytes,
  };
  const outgoing = send(place, { method: wanted.method, headers, timeout: wanted.stillMs });
  outgoing.once('timeout', () => outgoing.destroy(tooLate(url, wanted.stillMs)));
  try {
    const response = await answerOf(outgoing, wanted.parts);
    const status = response.statusCode ?? 0;
    return { status, body: parseBody(url, await textOf(response, url), status < 300) };
  } catch (error) {
    outgoing.destroy();
    throw error instanceof AppError ? error : lost(url, wanted.stillMs, error);
  } finally {
    // A refusal may come before all is sent; what is left of the body is of no use then.
    if (!outgoing.writableFinished) outgoing.destroy();
  }
}

async function answerOf(outgoing: ClientRequest, parts: AsyncIterable<Uint8Array>): Promise<IncomingMessage> {
  // What fails is told where it is waited for, and nowhere else.
  const heard = (): undefined => undefined;
  outgoing.on('error', heard);
  const answered = once(outgoing, 'response');
  const sent = pipeline(parts, outgoing);
  answered.catch(heard);
  sent.catch(heard);
  // What cannot be read ends it; what has been sent waits for its answer.
  const [response] = await Promise.race([answered, sent.then(() => answered)]);
  return response.on('error', heard);
}

async function textOf(response: IncomingMessage, url: string): Promise<string> {
  let text = '';
  try {
    for await (const part of response.setEncoding('utf8')) {
      text += part;
      if (text.length > ANSWER_CHARACTERS) break;
    }
  } catch (cause) {
    throw new AppError('unreachable', `the controller at ${url} is gone (${describeError(cause)})`, {
      cause,
    });
  }
  return text;
}
