// One set-up at a time, also between processes.

import { mkdirSync, readdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 200;
/** A lock whose owner is not named after this long was left by one that died in between. */
const NAMELESS_MS = 2_000;

/**
 * Does `work` while holding the lock: a folder that holds one file, named by the owner's process id. The lock
 * of an owner that is dead is taken away; its file goes first, so that the folder can only be removed while
 * no one living has named itself in it.
 * @param onWait called once with the owner's process id when another one holds the lock
 */
export async function withLock(folder, onWait, work) {
  let waits = false;
  for (;;) {
    if (tryLock(folder)) break;
    const owner = ownerOf(folder);
    if (owner === undefined || !isAlive(owner)) {
      breakLock(folder, owner);
      continue;
    }
    if (!waits && owner !== 0) onWait(owner);
    waits ||= owner !== 0;
    await delay(POLL_MS);
  }
  try {
    return await work();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function tryLock(folder) {
  try {
    mkdirSync(folder);
    writeFileSync(join(folder, String(process.pid)), '');
    return true;
  } catch (error) {
    if (error.code === 'EEXIST' || error.code === 'ENOENT') return false;
    throw error;
  }
}

/** Process id in the lock; 0 while it is being taken, undefined when it was left or is gone. */
function ownerOf(folder) {
  try {
    const [name] = readdirSync(folder);
    if (name !== undefined) return Number(name);
    return Date.now() - statSync(folder).mtimeMs < NAMELESS_MS ? 0 : undefined;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function isAlive(pid) {
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function breakLock(folder, owner) {
  if (owner !== undefined) rmSync(join(folder, String(owner)), { force: true });
  try {
    rmdirSync(folder);
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTEMPTY') throw error;
  }
}
