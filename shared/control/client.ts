import { connect } from 'node:net';
import { AppError, isErrorCode, isSystemError } from '../errors.ts';
import { socketPath } from './path.ts';
import { CONTROL_VERSION, type ControlRequest } from './protocol.ts';

/** All inferences that an agent keeps. */
const MAX_ANSWER_CHARACTERS = 32 * 2 ** 20;

/** A request as it is written; its version is added. */
type Unversioned<R> = R extends unknown ? Omit<R, 'v'> : never;

/**
 * Asks the agent of a state folder.
 * @returns its answer, or undefined when none runs there
 * @throws AppError `timeout` when it does not answer, or what the agent itself refuses with
 */
export async function askControl(
  stateDir: string,
  request: Unversioned<ControlRequest>,
  timeoutMs: number,
): Promise<unknown> {
  const path = socketPath(stateDir);
  const text = await exchange(path, JSON.stringify({ v: CONTROL_VERSION, ...request }), timeoutMs);
  return text === undefined ? undefined : readReply(text, path);
}

/** By hand: compiling a schema would take most of the time that a command takes. */
function readReply(text: string, path: string): unknown {
  const reply = readJson(text, path);
  if (typeof reply !== 'object' || reply === null) throw new AppError('invalid', `${path}: not an answer`);
  if ('answer' in reply) return reply.answer;
  const error = 'error' in reply ? reply.error : undefined;
  if (typeof error !== 'object' || error === null) throw new AppError('invalid', `${path}: not an answer`);
  const code: unknown = 'code' in error ? error.code : undefined;
  const message: unknown = 'message' in error ? error.message : undefined;
  throw new AppError(isErrorCode(code) ? code : 'system', String(message));
}

/** Asks the agent of a state folder what it does; undefined when none runs there. */
export function askStatus(stateDir: string, timeoutMs: number): Promise<unknown> {
  return askControl(stateDir, { kind: 'status' }, timeoutMs);
}

async function exchange(path: string, line: string, timeoutMs: number): Promise<string | undefined> {
  const socket = connect(path);
  socket.setTimeout(timeoutMs, () => {
    socket.destroy(new AppError('timeout', `${path}: the agent does not answer in ${timeoutMs} ms`));
  });
  try {
    socket.write(`${line}\n`);
    let text = '';
    for await (const chunk of socket.setEncoding('utf8')) {
      text += String(chunk);
      if (text.length > MAX_ANSWER_CHARACTERS)
        throw new AppError('invalid', `${path}: the answer is too long`);
    }
    return text;
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ECONNREFUSED')) return undefined;
    throw error;
  } finally {
    socket.destroy();
  }
}

function readJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError('invalid', `${path}: the answer is not JSON`, { cause });
  }
}
