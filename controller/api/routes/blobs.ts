import { type FileHandle, open } from 'node:fs/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { AppError, isSystemError } from '../../../shared/errors.ts';
import { MAX_BLOB_BYTES } from '../../../shared/protocol/release.ts';
import type { Releases } from '../../releases/releases.ts';
import { rangeOf } from '../byte-range.ts';
import type { Server } from '../context.ts';
import { BlobAnswerSchema, BlobParamsSchema } from '../release-schemas.ts';

interface BlobContext {
  readonly releases: Pick<Releases, 'putBlob' | 'hasBlob' | 'blobPath'>;
}

const PATH = '/v1/blobs/:sha256';
const OCTETS = 'application/octet-stream';
/** A client that neither sends nor takes anything for so long is cut off. */
const STUCK_MS = 120_000;
const tags = ['releases'];

/** Blobs by the SHA-256 of their content, streamed both ways. */
export function addBlobRoutes(server: Server, context: BlobContext): void {
  addGetRoute(server, context);
  // Only here does a body pass as it is; in a context of its own, no other route takes one.
  server.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(OCTETS, (_request, payload, done) => done(null, payload));
    addPutRoute(scope, context);
  });
}

function addPutRoute(server: Server, { releases }: BlobContext): void {
  server.put(
    PATH,
    {
      bodyLimit: MAX_BLOB_BYTES,
      schema: {
        tags,
        summary: 'Upload a blob',
        consumes: [OCTETS],
        params: BlobParamsSchema,
        response: { 200: BlobAnswerSchema, 201: BlobAnswerSchema },
      },
    },
    async ({ params: { sha256 }, headers, raw }, reply) => {
      const bytes = lengthOf(headers['content-length']);
      raw.socket.setTimeout(STUCK_MS);
      try {
        // The request must outlive a body that is refused: its answer goes the same way.
        const body = raw.iterator({ destroyOnReturn: false });
        const state = await releases.putBlob(sha256, body, bytes);
        reply.code(state === 'stored' ? 201 : 200);
        return { state };
      } finally {
        // What was not read stands before the next request of this connection.
        raw.resume();
      }
    },
  );
}

function lengthOf(header: string | undefined): number {
  const bytes = /^\d{1,15}$/.test(header ?? '') ? Number(header) : 0;
  if (bytes >= 1 && bytes <= MAX_BLOB_BYTES) return bytes;
  throw new AppError(
    'usage',
    `a blob has 1 to ${MAX_BLOB_BYTES} bytes, and says how many as Content-Length; found ${header ?? 'none'}`,
  );
}

function addGetRoute(server: Server, { releases }: BlobContext): void {
  server.route({
    method: ['GET', 'HEAD'],
    url: PATH,
    schema: {
      tags,
      summary: 'Download a blob, or one range of it',
      params: BlobParamsSchema,
      response: { 200: Type.Unknown(), 206: Type.Unknown() },
    },
    handler: async (request, reply) => {
      const { sha256 } = request.params;
      if (!releases.hasBlob(sha256)) throw gone(sha256);
      const file = await openBlob(releases.blobPath(sha256), sha256);
      await sendFile(file, sha256, { request, reply });
      return reply;
    },
  });
}

async function openBlob(path: string, sha256: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT')) throw gone(sha256);
    throw new AppError('system', `blob ${sha256} cannot be read`, { cause });
  }
}

function gone(sha256: string): AppError {
  return new AppError('not-found', `there is no blob ${sha256}`);
}

interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** Sends a file, or the range of it that is asked for; closes it. */
async function sendFile(file: FileHandle, sha256: string, { request, reply }: Exchange): Promise<void> {
  const { size } = await file.stat();
  const etag = `"${sha256}"`;
  const range = request.method === 'GET' ? wantedRange(request, etag, size) : undefined;
  reply.headers({ etag, 'accept-ranges': 'bytes', 'cache-control': 'private, max-age=31536000, immutable' });
  if (range === 'unsatisfiable') {
    await file.close();
    const message = `blob ${sha256} has ${size} bytes, the range is outside of it`;
    reply
      .code(416)
      .header('content-range', `bytes */${size}`)
      .send({ error: { code: 'usage', message } });
    return;
  }
  const { from, to } = range ?? { from: 0, to: size - 1 };
  if (range !== undefined) reply.code(206).header('content-range', `bytes ${from}-${to}/${size}`);
  reply.type(OCTETS).header('content-length', to - from + 1);
  if (request.method === 'HEAD') {
    await file.close();
    reply.send();
    return;
  }
  request.raw.socket.setTimeout(STUCK_MS);
  reply.send(file.createReadStream({ start: from, end: to }));
}

function wantedRange({ headers }: FastifyRequest, etag: string, size: number): ReturnType<typeof rangeOf> {
  const onlyIf = headers['if-range'];
  // A range of something else than what the client has the rest of is of no use to it.
  return onlyIf === undefined || onlyIf === etag ? rangeOf(headers.range, size) : undefined;
}
