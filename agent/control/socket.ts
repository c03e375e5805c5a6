import { chmod, mkdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { AppError, isSystemError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';

/** Longest path that a Unix socket can have on Linux, less its end mark. */
const MAX_SOCKET_PATH = 107;
const MAX_ANSWER_BYTES = 1024 * 1024;
const ANSWER_TIMEOUT_MS = 5_000;

/** Where the agent of a state folder answers: inside of it, or, where that path is too long, in a private folder. */
function socketPath(stateDir: string): string {
  const inside = join(resolve(stateDir), 'agent.sock');
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH) return inside;
  const own = join(tmpdir(), `ofa-agent-${process.getuid?.() ?? 0}`);
  return join(own, `${sha256(resolve(stateDir)).slice(0, 16)}.sock`);
}

/**
 * Answers every local connection with one JSON document. Only the owner of the state folder may connect.
 * A socket that a killed agent left behind is removed: the lock on the database is what tells that it is dead.
 */
export async function serveStatus(stateDir: string, status: () => unknown): Promise<AsyncDisposable> {
  const path = socketPath(stateDir);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await unlink(path).catch(() => undefined);
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy());
    // Who asked and stays connected must not hold up the end of the agent.
    socket.end(JSON.stringify(status()), () => socket.destroy());
  });
  await listen(server, path);
  await chmod(path, 0o600);
  return {
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((done) => {
        server.close(() => done());
      });
    },
  };
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve: done, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(path, done);
  await promise.catch((cause: unknown) => {
    throw new AppError('system', `${path}: the agent cannot answer there`, { cause });
  });
}

/** Asks the agent of a state folder; undefined when none runs there. */
export async function askStatus(stateDir: string, timeoutMs: number): Promise<unknown> {
  const path = socketPath(stateDir);
  const socket = connect(path);
  socket.setTimeout(timeoutMs, () => {
    socket.destroy(new AppError('timeout', `${path}: the agent does not answer in ${timeoutMs} ms`));
  });
  try {
    let text = '';
    for await (const chunk of socket.setEncoding('utf8')) {
      text += String(chunk);
      if (text.length > MAX_ANSWER_BYTES) throw new AppError('invalid', `${path}: the answer is too long`);
    }
    return JSON.parse(text);
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ECONNREFUSED')) return undefined;
    throw error;
  } finally {
    socket.destroy();
  }
}
