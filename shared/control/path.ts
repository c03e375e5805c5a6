import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { sha256 } from '../files.ts';

/** Longest path that a Unix socket can have on Linux, less its end mark. */
const MAX_SOCKET_PATH = 107;

/** Where the agent of a state folder answers: inside of it, or, where that path is too long, in a private folder. */
export function socketPath(stateDir: string): string {
  const inside = join(resolve(stateDir), 'agent.sock');
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH) return inside;
  const own = join(tmpdir(), `ofa-agent-${process.getuid?.() ?? 0}`);
  return join(own, `${sha256(resolve(stateDir)).slice(0, 16)}.sock`);
}
