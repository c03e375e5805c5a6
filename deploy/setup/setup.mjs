// Installs and builds the project when its sources or its dependencies have changed, and only then.

import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BIN, childEnv, PINNED_NODE, ROOT, spawnChild } from './child.mjs';
import { withLock } from './lock.mjs';
import { buildStamp, installStamp, isInstalledAsLocked, readText } from './stamps.mjs';

const SCRATCH = join(ROOT, '.setup');
const INSTALL_STAMP = 'node_modules/.ofa-installed';
const BUILD_STAMP = 'dist/.ofa-built';

/** A set-up that failed for a reason that one line tells. */
export class SetupError extends Error {}

/** Brings node_modules, and with `build` also dist, up to date. Does nothing when they are. */
export async function setUp({ build }) {
  const isCurrent = () => isInstalled() && (!build || isBuilt());
  if (isCurrent()) return;
  mkdirSync(SCRATCH, { recursive: true });
  await withLock(join(SCRATCH, 'lock'), sayWaiting, async () => {
    if (!isInstalled()) await install();
    if (build && !isBuilt()) await compile();
  });
}

function say(text) {
  process.stderr.write(`ofa-fleet: ${text}\n`);
}

function sayWaiting(pid) {
  say(`another set-up runs (process ${pid}); waiting for it`);
}

function isInstalled() {
  return readText(INSTALL_STAMP) === installStamp() && existsSync(PINNED_NODE);
}

function isBuilt() {
  return (
    readText(BUILD_STAMP) === buildStamp() &&
    Object.keys(programs()).every((name) => existsSync(join(BIN, name)))
  );
}

async function install() {
  if (!(isInstalledAsLocked() && existsSync(PINNED_NODE))) {
    say('installing dependencies (npm ci); the first time this takes some minutes');
    await step('npm', ['ci', '--include=dev', '--include=optional', '--loglevel=error'], {
      failure: 'npm ci failed: see its messages above; is the npm registry reachable?',
    });
    if (!existsSync(PINNED_NODE)) {
      throw new SetupError(
        'npm did not install the Node.js of this project: allow install scripts (npm_config_ignore_scripts=false) and run again',
      );
    }
  }
  writeFileSync(join(ROOT, INSTALL_STAMP), installStamp());
}

/** Builds beside dist and then takes its place, so that a failed build leaves the old one as it was. */
async function compile() {
  say('building');
  const stamp = buildStamp();
  const fresh = join(SCRATCH, 'dist');
  rmSync(fresh, { recursive: true, force: true });
  await step(join(BIN, 'tsc'), ['-p', 'tsconfig.build.json', '--outDir', fresh], {
    failure: 'the build failed: see the messages of tsc above',
  });
  linkPrograms(fresh);
  writeFileSync(join(fresh, '.ofa-built'), stamp);
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  renameSync(fresh, join(ROOT, 'dist'));
}

async function step(file, args, { failure }) {
  // Standard output stays clean for the program that runs afterwards.
  const end = await spawnChild(file, args, { cwd: ROOT, env: childEnv(), stdio: ['ignore', 2, 2] }).catch(
    (error) => {
      throw new SetupError(`${file} cannot be started: ${error.message}`);
    },
  );
  if (end.code !== 0) throw new SetupError(end.signal === null ? failure : `stopped by ${end.signal}`);
}

function programs() {
  return JSON.parse(readText('package.json') ?? '{}').bin ?? {};
}

/**
 * npm makes no commands of a package's own programs. npx runs the built files, which therefore are made
 * executable; node_modules/.bin gets commands that name the pinned Node.js and so need no particular PATH.
 */
function linkPrograms(built) {
  for (const [name, path] of Object.entries(programs())) {
    const file = join(built, path.replace(/^dist\//, ''));
    if (existsSync(file)) chmodSync(file, 0o755);
    const script = [
      '#!/bin/sh',
      'bin=$(dirname "$(readlink -f "$0")")',
      `exec "$bin/node" "$bin/../../${path}" "$@"`,
    ];
    writeFileSync(join(BIN, name), `${script.join('\n')}\n`, { mode: 0o755 });
  }
}
