import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import fastify from 'fastify';
import { AppError, isSystemError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { ApiContext, Server } from './context.ts';
import { refusalOf, sendRefusal } from './errors.ts';
import { addAlertRoutes } from './routes/alerts.ts';
import { addDeviceRoutes } from './routes/devices.ts';
import { addGroupRoutes } from './routes/groups.ts';
import { addHistoryRoutes } from './routes/history.ts';
import { addKeyringRoutes } from './routes/keyring.ts';
import { addReleaseRoutes } from './routes/releases.ts';
import { addRolloutRoutes } from './routes/rollouts.ts';
import { addStatedRoutes } from './routes/stated.ts';
import { addStatusRoutes } from './routes/status.ts';
import { isAuthorized } from './token.ts';
import { compileValidator } from './validation.ts';

const MAX_BODY_BYTES = 1024 * 1024;
/** Per address: enough for every tool, little enough that a loop gone wild leaves telemetry its turn. */
const REQUESTS_PER_SECOND = 300;
/** What everybody may read; every other route wants the token. */
const OPEN_ROUTES: ReadonlySet<string> = new Set(['/healthz', '/openapi.json']);
/** Per address: a person mistypes, a program guesses. */
const FAILED_AUTHENTICATIONS_PER_MINUTE = 20;

export interface ApiOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly version: string;
  readonly tokenSha256: string;
  readonly log: Logger;
  /** Told of every answer; `route` is the pattern of the address, not what was asked for. */
  readonly onAnswer?: (answer: {
    readonly method: string;
    readonly route: string;
    readonly status: number;
  }) => void;
}

export interface ApiServer extends AsyncDisposable {
  readonly url: string;
}

/**
 * Starts the HTTP API.
 * @throws AppError `conflict` when the port is taken
 */
export async function startApi(options: ApiOptions, context: ApiContext): Promise<ApiServer> {
  const server = await createServer(options, context);
  try {
    const url = await server.listen({ host: options.host, port: options.port });
    return { url, [Symbol.asyncDispose]: () => server.close() };
  } catch (cause) {
    await server.close();
    const place = `port ${options.port} on ${options.host}`;
    if (!isSystemError(cause, 'EADDRINUSE'))
      throw new AppError('system', `${place}: the API cannot listen`, { cause });
    throw new AppError(
      'conflict',
      `${place} is already in use; stop what has it, or choose another with --api-port`,
    );
  }
}

/** The server with all its routes, not listening. */
async function createServer(options: ApiOptions, context: ApiContext): Promise<Server> {
  const { log, tokenSha256, version } = options;
  const server: Server = fastify({
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
  }).withTypeProvider<TypeBoxTypeProvider>();
  server.setValidatorCompiler(compileValidator);
  // Answers are made from typed values; nothing is left out of them or changed on the way.
  server.setSerializerCompiler(() => (value) => JSON.stringify(value));
  server.setErrorHandler((error, _request, reply) => sendRefusal(reply, refusalOf(error, log)));
  server.setNotFoundHandler((request, reply) => {
    const message = `${request.method} ${request.url.split('?', 1)[0]} does not exist`;
    return sendRefusal(reply, { status: 404, code: 'not-found', message });
  });
  await server.register(rateLimit, { max: REQUESTS_PER_SECOND, timeWindow: 1_000 });
  await server.register(swagger, { openapi: openApiOf(version) });
  requireToken(server, tokenSha256);
  server.addHook('onResponse', async ({ method, routeOptions }, { statusCode }) => {
    options.onAnswer?.({ method, route: routeOptions.url ?? '', status: statusCode });
  });
  addStatusRoutes(server, context);
  addDeviceRoutes(server, context);
  addGroupRoutes(server, context);
  addStatedRoutes(server, context);
  addHistoryRoutes(server, context);
  addAlertRoutes(server, context);
  addKeyringRoutes(server, context);
  addReleaseRoutes(server, context);
  addRolloutRoutes(server, context);
  server.get('/openapi.json', { schema: { tags: ['status'], summary: 'This document', security: [] } }, () =>
    server.swagger(),
  );
  return server;
}

function openApiOf(version: string) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'ofa-fleet controller',
      description:
        'Keeps the desired state of a fleet, takes in its telemetry and answers questions about it.',
      version,
    },
    components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
    security: [{ token: [] }],
  };
}

function requireToken(server: Server, tokenSha256: string): void {
  const countFailure = server.createRateLimit({ max: FAILED_AUTHENTICATIONS_PER_MINUTE, timeWindow: 60_000 });
  server.addHook('onRequest', async (request, reply) => {
    // The route that was found, not the address as it was written: `/%761/status` finds `/v1/status` too.
    const { url } = request.routeOptions;
    if (url !== undefined && OPEN_ROUTES.has(url)) return;
    if (isAuthorized(request.headers.authorization, tokenSha256)) return;
    const limit = await countFailure(request);
    if (!limit.isAllowed && limit.isExceeded) {
      const message = `too many wrong tokens; try again in ${limit.ttlInSeconds} s`;
      return sendRefusal(reply, { status: 429, code: 'unauthorized', message });
    }
    throw new AppError('unauthorized', 'the token is missing or wrong; send it as Authorization: Bearer ...');
  });
}
