import Type from 'typebox';
import { AppError } from '../../../shared/errors.ts';
import { given } from '../../../shared/given.ts';
import { MissingBlobs, type Releases, type StoredRelease } from '../../releases/releases.ts';
import type { Server } from '../context.ts';
import {
  MAX_POST_BYTES,
  MissingBlobsSchema,
  type ReleaseDetail,
  ReleaseDetailSchema,
  ReleaseListSchema,
  ReleaseParamsSchema,
  ReleasePostSchema,
  ReleaseQuerySchema,
  type ReleaseSummary,
  ReleaseSummarySchema,
} from '../release-schemas.ts';
import { addBlobRoutes } from './blobs.ts';

/** What these routes answer from. */
export interface ReleaseContext {
  readonly releases: Releases;
}

const tags = ['releases'];

/** Releases: signed families and programs, and the blobs that they are made of. */
export function addReleaseRoutes(server: Server, context: ReleaseContext): void {
  addListRoute(server, context);
  addPublishRoute(server, context);
  addOneRoutes(server, context);
  addBlobRoutes(server, context);
}

function addListRoute(server: Server, { releases }: ReleaseContext): void {
  server.get(
    '/v1/releases',
    {
      schema: {
        tags,
        summary: 'List releases',
        querystring: ReleaseQuerySchema,
        response: { 200: ReleaseListSchema },
      },
    },
    ({ query: { kind, name } }) => {
      const chosen = releases
        .list()
        .filter((each) => kind === undefined || each.kind === kind)
        .filter((each) => name === undefined || each.ref.name === name);
      return { releases: chosen.map(summaryOf) };
    },
  );
}

function addPublishRoute(server: Server, { releases }: ReleaseContext): void {
  server.post(
    '/v1/releases',
    {
      bodyLimit: MAX_POST_BYTES,
      schema: {
        tags,
        summary: 'Publish a signed release; 409 names the blobs that have to be uploaded first',
        body: ReleasePostSchema,
        response: { 200: ReleaseSummarySchema, 409: MissingBlobsSchema },
      },
    },
    async ({ body: { manifest, signature } }, reply) => {
      try {
        return summaryOf(await releases.publish(bytesOf(manifest), signature));
      } catch (error) {
        if (!(error instanceof MissingBlobs)) throw error;
        reply.code(409);
        return { error: { code: 'conflict' as const, message: error.message }, missing: [...error.blobs] };
      }
    },
  );
}

function addOneRoutes(server: Server, { releases }: ReleaseContext): void {
  const path = '/v1/releases/:kind/:name/:version';
  server.get(
    path,
    {
      schema: {
        tags,
        summary: 'Show a release',
        params: ReleaseParamsSchema,
        response: { 200: ReleaseDetailSchema },
      },
    },
    ({ params: { kind, name, version } }) => detailOf(releases.require(kind, name, version)),
  );
  server.delete(
    path,
    {
      schema: {
        tags,
        summary: 'Delete a release and the blobs that no other one needs',
        params: ReleaseParamsSchema,
        response: { 204: Type.Null() },
      },
    },
    async ({ params: { kind, name, version } }, reply) => {
      await releases.remove(kind, name, version);
      reply.code(204);
      return null;
    },
  );
}

/** What was signed is bytes: text that stands for them in two ways is refused. */
function bytesOf(base64: string): Uint8Array {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') === base64) return bytes;
  throw new AppError('usage', 'body: manifest is not base64');
}

function summaryOf(release: StoredRelease): ReleaseSummary {
  const { kind, ref, manifest, publishedTs, damaged = [], untrusted } = release;
  const { form, precisions, minAgent, hardware, createdTs, expiresTs, blobs } = manifest;
  return {
    ...{ kind, name: ref.name, version: ref.version },
    ...{ sha256: ref.manifest.sha256, keyId: ref.signature.keyId },
    ...(form !== undefined && { form }),
    ...(precisions !== undefined && { precisions }),
    ...(minAgent !== undefined && { minAgent }),
    ...(hardware !== undefined && { hardware }),
    ...{ createdTs, expiresTs, publishedTs },
    blobs: blobs.length,
    bytes: blobs.reduce((sum, { bytes }) => sum + bytes, 0),
    damaged: [...damaged],
    ...given({ untrusted }),
  };
}

function detailOf({ damaged = [], ...release }: StoredRelease): ReleaseDetail {
  return { ...release, damaged: [...damaged] };
}
