import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Command } from 'commander';
import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import { packageRoot } from '../../shared/package.ts';
import { AGENT_ENTRY } from '../../shared/release/agent-entry.ts';
import {
  dependencyDigest,
  findDependencies,
  type InstalledPackage,
  type ProgramPackage,
  readProgramPackage,
} from '../../shared/release/dependencies.ts';
import {
  PROGRAM_LIMITS,
  PROGRAM_NEEDS_FILE,
  PROGRAM_PREFIX,
  type ProgramNeeds,
} from '../../shared/release/program-file.ts';
import { problemOfName, type TarSource, tarOf } from '../../shared/tar.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
import { checkPlace, saveStream } from './save.ts';

interface PackOptions {
  readonly package?: string;
  readonly withDependencies?: boolean;
  readonly withModels?: boolean;
  readonly out: string;
  readonly force?: boolean;
}

/** Adds `program pack` to the group `program`. */
export function addProgramPack(group: Command, cli: Cli): void {
  const pack = group
    .command('pack')
    .description('Pack the program of agents into one file, to be published as a release.')
    .requiredOption('--out <file>', 'where to write it, for example ofa-agent.tgz')
    .option('--package <dir>', 'folder of the built program (default: the one that runs)')
    .option('--with-dependencies', 'also the npm packages that it needs, as they are installed there')
    .option('--with-models', 'also the bundled models; else agents keep those that they were installed with')
    .option('--force', 'replace the file when it is there')
    .action(async (options: PackOptions) => {
      await checkPlace(options.out, options.force === true);
      const needs = await packProgram(options.package ?? packageRoot(), options.out, {
        withDependencies: options.withDependencies === true,
        withModels: options.withModels === true,
      });
      const where = needs.dependencies === undefined ? 'with its dependencies' : 'without dependencies';
      cli.note(`${options.out}: ofa-fleet ${needs.version}, ${where}`);
    });
  addExamples(pack, 'program pack --out ofa-agent-0.2.0.tgz');
}

/**
 * Packs a built program. The same files give the same bytes.
 * @param root folder with `package.json` and `dist/`
 * @returns what it needs, as it stands in the file too
 * @throws AppError `not-found`, `invalid`, `system`
 */
export async function packProgram(
  root: string,
  out: string,
  options: { readonly withDependencies: boolean; readonly withModels: boolean },
): Promise<ProgramNeeds> {
  const manifest = await readProgramPackage(root);
  await checkBuilt(root, manifest);
  const packages = await findDependencies(root, manifest);
  const needs: ProgramNeeds = {
    version: manifest.version,
    minNode: minNodeOf(manifest, root),
    ...(options.withDependencies ? {} : { dependencies: dependencyDigest(packages) }),
  };
  const names = (manifest.files ?? []).filter((name) => name === 'dist' || options.withModels);
  const own = await Promise.all([...names, 'package.json', 'LICENSE'].map((name) => filesAt(root, name)));
  const carried = options.withDependencies ? await filesOfPackages(root, packages) : [];
  const files = [...own.flat(), ...carried, textFile(PROGRAM_NEEDS_FILE, `${JSON.stringify(needs)}\n`)];
  checkLimits(files);
  await saveStream(out, tarOf(files.toSorted((a, b) => (a.path < b.path ? -1 : 1))));
  return needs;
}

async function checkBuilt(root: string, { name }: ProgramPackage): Promise<void> {
  if (name !== 'ofa-fleet') throw new AppError('invalid', `${root}: holds ${name}, expected ofa-fleet`);
  const entry = await stat(join(root, AGENT_ENTRY)).catch(() => undefined);
  if (entry?.isFile() !== true) throw new AppError('not-found', `${root}: no ${AGENT_ENTRY}; build it first`);
}

function minNodeOf({ engines }: ProgramPackage, root: string): number {
  const major = /^>=\s*(\d{1,3})/.exec(engines?.node ?? '')?.[1];
  if (major === undefined)
    throw new AppError('invalid', `${root}: package.json says no engines.node like >=24`);
  return Number(major);
}

/** Each package where it is, without the packages below it: of those only the ones that are needed. */
async function filesOfPackages(root: string, packages: readonly InstalledPackage[]): Promise<TarSource[]> {
  const found: TarSource[] = [];
  for (const { name, folder } of packages) {
    const place = relative(resolve(root), folder);
    if (isAbsolute(place) || !place.startsWith(`node_modules${sep}`)) {
      throw new AppError(
        'invalid',
        `package ${name} is installed in ${folder}; run npm install in ${root}, so that it lies below`,
      );
    }
    found.push(...(await filesAt(root, place)));
  }
  return found;
}

/** All files at or below a place; nothing where there is none. */
async function filesAt(root: string, place: string): Promise<TarSource[]> {
  const path = join(root, place);
  const stats = await stat(path).catch((cause: unknown) => {
    if (isSystemError(cause, 'ENOENT')) return undefined;
    throw new AppError('system', `${path}: ${describeError(cause)}`, { cause });
  });
  if (stats === undefined) return [];
  if (stats.isFile()) {
    const isExecutable = (stats.mode & 0o100) !== 0;
    return [sourceOf(place, stats.size, isExecutable, () => createReadStream(path))];
  }
  const found: TarSource[] = [];
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.isSymbolicLink()) continue;
    found.push(...(await filesAt(root, join(place, entry.name))));
  }
  return found;
}

function textFile(place: string, text: string): TarSource {
  const bytes = Buffer.from(text);
  return sourceOf(place, bytes.length, false, async function* once() {
    yield bytes;
  });
}

function sourceOf(place: string, bytes: number, isExecutable: boolean, open: TarSource['open']): TarSource {
  return { path: PROGRAM_PREFIX + place.split(sep).join('/'), bytes, isExecutable, open };
}

/** What no agent would unpack is not packed either. */
function checkLimits(files: readonly TarSource[]): void {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (files.length > PROGRAM_LIMITS.entries || bytes > PROGRAM_LIMITS.bytes) {
    throw new AppError('invalid', `${files.length} files of ${bytes} bytes: more than agents unpack`);
  }
  for (const { path } of files) {
    const problem = problemOfName(path);
    if (problem !== undefined) throw new AppError('invalid', `${path}: ${problem}`);
  }
}
