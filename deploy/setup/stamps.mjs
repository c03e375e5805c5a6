// What a set-up was made from, as hashes: nothing is done again while they stay the same.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './child.mjs';

const SOURCES = ['agent', 'controller', 'shared', 'models', 'deploy'];
const DEPENDENCY_KEYS = [
  'dependencies',
  'devDependencies',
  'optionalDependencies',
  'overrides',
  'allowScripts',
];

/** The content of a text file of the project; undefined when there is none. */
export function readText(path) {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Hash of everything that decides what is installed. */
export function installStamp() {
  const manifest = JSON.parse(readText('package.json') ?? '{}');
  const parts = DEPENDENCY_KEYS.map((key) => JSON.stringify(manifest[key] ?? null));
  const machine = `${process.platform}-${process.arch}`;
  return hash([...parts, readText('package-lock.json') ?? '', machine]);
}

/** Hash of everything that decides what is built. */
export function buildStamp() {
  const configs = readdirSync(ROOT).filter((name) => /^tsconfig.*\.json$/.test(name));
  const files = [...configs, ...SOURCES.flatMap(sourcesIn)].sort();
  return hash([installStamp(), ...files.flatMap((file) => [file, readText(file) ?? ''])]);
}

function sourcesIn(folder) {
  try {
    const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`);
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

/** The parts are kept apart by their lengths, so that no two lists of parts read alike. */
function hash(parts) {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(`${part.length}:${part}`);
  return sum.digest('hex');
}

/**
 * Whether what npm itself says it has installed is what the lock file asks for: then someone ran `npm ci`
 * or `npm install` by hand, and nothing needs to be done again.
 */
export function isInstalledAsLocked() {
  const installed = JSON.parse(readText('node_modules/.package-lock.json') ?? '{}').packages;
  const locked = JSON.parse(readText('package-lock.json') ?? '{}').packages;
  if (installed === undefined || locked === undefined) return false;
  return Object.entries(locked).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    return found === undefined
      ? entry.optional === true || entry.devOptional === true
      : found.version === entry.version && found.integrity === entry.integrity;
  });
}
