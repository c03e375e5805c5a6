// Where things lie, and child processes that live and die with this one.

import { spawn } from 'node:child_process';
import { delimiter, join, resolve } from 'node:path';

/** The project's folder. */
export const ROOT = resolve(import.meta.dirname, '../..');
export const BIN = join(ROOT, 'node_modules/.bin');
/** The Node.js of the `node` package: the one that everything of ours runs in. */
export const PINNED_NODE = join(BIN, 'node');

/** Environment in which `node` and every tool are the project's, also for what the child starts itself. */
export function childEnv() {
  return { ...process.env, PATH: `${BIN}${delimiter}${process.env.PATH ?? ''}` };
}

/**
 * Runs a program until it ends. SIGTERM and SIGHUP are passed on. SIGINT is not: Ctrl-C reaches the whole
 * foreground group by itself, and a second one would tell the child not to wait for an orderly end.
 * @returns its exit status, or the signal that ended it
 */
export function spawnChild(file, args, options) {
  return new Promise((resolvePromise, reject) => {
    const child = spawn(file, args, options);
    const forward = (signal) => child.kill(signal);
    const ignore = () => undefined;
    process.on('SIGTERM', forward).on('SIGHUP', forward).on('SIGINT', ignore);
    const release = () => process.off('SIGTERM', forward).off('SIGHUP', forward).off('SIGINT', ignore);
    child.once('error', (error) => {
      release();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      release();
      resolvePromise({ code, signal });
    });
  });
}
