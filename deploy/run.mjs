// Runs a program of this project with the Node.js that the project pins, after setting up whatever is missing:
//   node deploy/run.mjs dist/controller/main.js --help
//   node deploy/run.mjs vitest run
//   node deploy/run.mjs --setup-only
// Plain JavaScript without dependencies, because it runs before anything is installed, on any Node.js >= 20.
// It writes to standard error only: standard output belongs to the program.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BIN, childEnv, PINNED_NODE, ROOT, spawnChild } from './setup/child.mjs';
import { SetupError, setUp } from './setup/setup.mjs';

/** Tools that read the sources and never what is built of them. */
const NEED_NO_BUILD = new Set(['biome', 'knip', 'tsc']);

/** A file, named from the project's folder, runs in the pinned Node.js; a bare name is a tool of node_modules. */
function commandOf(program, args) {
  if (/\.[cm]?[jt]s$/.test(program)) return { file: PINNED_NODE, args: [resolve(ROOT, program), ...args] };
  const tool = join(BIN, program);
  if (existsSync(tool)) return { file: tool, args };
  throw new SetupError(
    `there is no program '${program}': name a .js or .ts file, or a tool of node_modules/.bin`,
  );
}

/** Ends this process as its child ended: with the same status, or by the same signal. */
function endLike({ code, signal }) {
  if (signal === null) {
    process.exitCode = code;
    return;
  }
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

async function main([program, ...args]) {
  if (program === undefined)
    throw new SetupError('usage: node deploy/run.mjs [--setup-only | program [arguments]]');
  await setUp({ build: !NEED_NO_BUILD.has(program) });
  if (program === '--setup-only') return;
  const command = commandOf(program, args);
  endLike(await spawnChild(command.file, command.args, { stdio: 'inherit', env: childEnv() }));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`ofa-fleet: ${error.message}\n`);
  process.exitCode = 1;
}
