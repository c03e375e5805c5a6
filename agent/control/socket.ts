import { chmod, mkdir, unlink } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { socketPath } from '../../shared/control/path.ts';
import {
  CONTROL_VERSION,
  type ControlReply,
  type ControlRequest,
  ControlRequestSchema,
} from '../../shared/control/protocol.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { ControlHandlers } from './handlers.ts';

/** No request is nearly as long. */
const MAX_REQUEST_BYTES = 4_096;
/** Who connects has so long to ask, and to take the answer. */
const PATIENCE_MS = 5_000;
/** People and scripts ask one at a time. */
const MAX_CONNECTIONS = 16;

/**
 * Answers local requests, one per connection. Only the owner of the state folder may connect.
 * A socket that a killed agent left behind is removed: the lock on the database is what tells that it is dead.
 */
export async function serveControl(stateDir: string, handlers: ControlHandlers): Promise<AsyncDisposable> {
  const path = socketPath(stateDir);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await unlink(path).catch(() => undefined);
  const parse = parserOf(ControlRequestSchema);
  const sockets = new Set<Socket>();
  // Who has asked may close its side at once.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    void converse(socket, async (line) => answerOf(handlers, parseRequest(line, parse)));
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  await chmod(path, 0o600);
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((done) => {
        server.close(() => done());
      });
      // Who asked and stays connected must not hold up the end of the agent.
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Reads one line, and answers it. It never rejects: the other end hears what went wrong. */
async function converse(socket: Socket, answer: (line: string) => Promise<unknown>): Promise<void> {
  const text = await replyTo(socket, answer).catch((error: unknown) => {
    const code = error instanceof AppError ? error.code : 'system';
    return textOf({ v: CONTROL_VERSION, error: { code, message: describeError(error) } });
  });
  if (!socket.destroyed) socket.end(text, () => socket.destroy());
}

async function replyTo(socket: Socket, answer: (line: string) => Promise<unknown>): Promise<string> {
  const line = await firstLine(socket);
  // An answer may take as long as its maker needs; only those who do not ask or do not listen are cut off.
  socket.setTimeout(0);
  const made = await answer(line);
  socket.setTimeout(PATIENCE_MS);
  return textOf({ v: CONTROL_VERSION, answer: made });
}

function textOf(reply: ControlReply): string {
  return JSON.stringify(reply);
}

function firstLine(socket: Socket): Promise<string> {
  const { promise, resolve: done, reject } = Promise.withResolvers<string>();
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    text += String(chunk);
    const end = text.indexOf('\n');
    if (end >= 0) done(text.slice(0, end));
    else if (text.length > MAX_REQUEST_BYTES) reject(new AppError('invalid', 'the request is too long'));
  });
  for (const end of ['end', 'close']) {
    socket.once(end, () => reject(new AppError('invalid', 'nothing was asked')));
  }
  return promise;
}

function parseRequest(line: string, parse: (value: unknown, what: string) => ControlRequest): ControlRequest {
  const checkVersion = (value: unknown, what: string): ControlRequest => {
    const version = typeof value === 'object' && value !== null && 'v' in value ? value.v : undefined;
    if (version === CONTROL_VERSION) return parse(value, what);
    throw new AppError(
      'invalid',
      `the agent that runs is of another version (it speaks control version ${CONTROL_VERSION}): restart it`,
    );
  };
  return parseJson(line, checkVersion, 'request');
}

function answerOf(handlers: ControlHandlers, request: ControlRequest): unknown {
  switch (request.kind) {
    case 'status':
      return handlers.status(request);
    case 'explain':
      return handlers.explain(request);
    case 'inferences':
      return handlers.inferences(request);
    case 'profile':
      return handlers.profile(request);
  }
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve: done, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(path, done);
  await promise.catch((cause: unknown) => {
    throw new AppError('system', `${path}: the agent cannot answer there`, { cause });
  });
}
