import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isSystemError } from '../../shared/errors.ts';

const run = promisify(execFile);
const ROOM_BYTES = 64 * 2 ** 20;

/** A folder whose room a scenario takes away and gives back. */
export interface Room extends AsyncDisposable {
  readonly dir: string;
  readonly kind: 'tmpfs' | 'file-size limit';
  /** Leaves no room. @param database that the program writes @param pid of the program */
  fill(pid: number, database: string): Promise<void>;
  free(pid: number): Promise<void>;
}

/** A small tmpfs where mounting is allowed; else the program's files get a limit. */
export async function makeRoom(): Promise<Room> {
  const dir = await mkdtemp(join(tmpdir(), 'ofa-room-'));
  const remove = () => rm(dir, { recursive: true, force: true });
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${ROOM_BYTES}`, 'ofa-chaos', dir]).then(
    () => true,
    () => false,
  );
  if (!mounted) return limited(dir, remove);
  const ballast = join(dir, 'ballast');
  return {
    dir,
    kind: 'tmpfs',
    fill: () => writeUntilFull(ballast),
    free: () => rm(ballast),
    [Symbol.asyncDispose]: async () => {
      await run('umount', ['-l', dir]);
      await remove();
    },
  };
}

/** Node.js ignores SIGXFSZ: a write beyond the limit fails with EFBIG. The log of the database cannot grow. */
function limited(dir: string, remove: () => Promise<void>): Room {
  const limit = async (pid: number, bytes: number | 'unlimited'): Promise<void> => {
    await run('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);
  };
  return {
    dir,
    kind: 'file-size limit',
    fill: async (pid, database) => limit(pid, (await stat(`${database}-wal`)).size),
    free: (pid) => limit(pid, 'unlimited'),
    [Symbol.asyncDispose]: remove,
  };
}

async function writeUntilFull(path: string): Promise<void> {
  await using file = await open(path, 'w');
  for (const bytes of [2 ** 20, 4_096]) {
    const block = Buffer.alloc(bytes);
    try {
      for (let at = 0; at < ROOM_BYTES; at += bytes) await file.appendFile(block);
    } catch (error) {
      if (!isSystemError(error, 'ENOSPC')) throw error;
    }
  }
}
