import { execFile } from 'node:child_process';
import { access, mkdir, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { AppError, describeError } from '../../shared/errors.ts';
import { syncFolder } from '../../shared/files.ts';
import { AGENT_ENTRY } from '../../shared/release/agent-entry.ts';
import {
  dependencyDigest,
  findDependencies,
  type ProgramPackage,
  readProgramPackage,
} from '../../shared/release/dependencies.ts';
import { PROGRAM_LIMITS, type ProgramNeeds } from '../../shared/release/program-file.ts';
import { problemOfName, type TarLimits } from '../../shared/tar.ts';
import { hasSlot, programsFolder, slotFolder } from './places.ts';
import { syncFolders, unpackProgram } from './unpack.ts';

export interface StageDeps {
  readonly stateDir: string;
  /** Folder of the program that was installed by hand: what is not in the file is taken from there. */
  readonly baseRoot: string;
  /** Of Node.js. */
  readonly nodeMajor: number;
  /** Within which `--version` has to be said. */
  readonly startMs?: number;
  readonly limits?: TarLimits;
}

/** A Jetson with a cold disk takes a few seconds. */
const START_MS = 30_000;

/** What the started program may say. */
const MAX_OUTPUT_BYTES = 64 * 1024;

/**
 * Puts a program beside those that are there, in a folder of its own, and sees that it starts. The folder has its
 * name only when all of it is well and on the disk.
 * @throws AppError `invalid` when it does not fit the manifest or this machine, or does not start; `not-found` when
 * dependencies are missing; `timeout` when it hangs; `system`; the signal's reason
 */
export async function stageProgram(
  blob: { readonly path: string; readonly sha256: string },
  needs: ProgramNeeds,
  deps: StageDeps,
  signal: AbortSignal,
): Promise<void> {
  if (deps.nodeMajor < needs.minNode) {
    throw new AppError('invalid', `the program needs Node.js ${needs.minNode}, this is ${deps.nodeMajor}`);
  }
  const folder = slotFolder(deps.stateDir, blob.sha256);
  if (hasSlot(deps.stateDir, blob.sha256)) {
    await checkDependencies(await readProgramPackage(folder), needs, deps);
    await checkStart(folder, needs.version, deps, signal);
    return;
  }
  const fresh = join(programsFolder(deps.stateDir), `.${blob.sha256}.tmp`);
  await mkdir(programsFolder(deps.stateDir), { recursive: true });
  try {
    await rm(fresh, { recursive: true, force: true });
    await unpackProgram(blob.path, fresh, deps.limits ?? PROGRAM_LIMITS, signal);
    await complete(fresh, needs, deps);
    await checkStart(fresh, needs.version, deps, signal);
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
    await syncFolder(programsFolder(deps.stateDir));
  } catch (cause) {
    await rm(fresh, { recursive: true, force: true }).catch(() => undefined);
    signal.throwIfAborted();
    if (cause instanceof AppError) throw cause;
    throw new AppError('system', `program ${blob.sha256}: ${describeError(cause)}`, { cause });
  }
}

/** Links what the file leaves to the program that was installed by hand. */
async function complete(folder: string, needs: ProgramNeeds, deps: StageDeps): Promise<void> {
  const manifest = await readProgramPackage(folder);
  if (manifest.name !== 'ofa-fleet' || manifest.version !== needs.version) {
    throw new AppError(
      'invalid',
      `the file holds ${manifest.name} ${manifest.version}, expected ofa-fleet ${needs.version}`,
    );
  }
  const packages = await checkDependencies(manifest, needs, deps);
  for (const { name, folder: target } of packages) await link(target, join(folder, 'node_modules', name));
  for (const name of manifest.files ?? []) {
    if (problemOfName(name) !== undefined) continue;
    await linkIfOnlyThere(join(deps.baseRoot, name), join(folder, name));
  }
  await syncFolders(folder);
}

/**
 * One link for each package that the program itself names: they are found so however npm laid them out, and what
 * they need in turn is found from their real place.
 * @returns the packages to link; none where the file brings them along
 */
async function checkDependencies(
  manifest: ProgramPackage,
  { dependencies }: ProgramNeeds,
  { baseRoot }: StageDeps,
): Promise<readonly { readonly name: string; readonly folder: string }[]> {
  if (dependencies === undefined) return [];
  const packages = await findDependencies(baseRoot, manifest);
  const digest = dependencyDigest(packages);
  if (digest !== dependencies) {
    throw new AppError(
      'invalid',
      `the program needs other dependencies (${dependencies.slice(0, 12)}) than are installed (${digest.slice(0, 12)}); pack it --with-dependencies`,
    );
  }
  return packages.filter(({ isDirect }) => isDirect);
}

async function link(target: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await symlink(target, path);
}

async function linkIfOnlyThere(target: string, path: string): Promise<void> {
  if ((await isThere(path)) || !(await isThere(target))) return;
  await link(target, path);
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Starts it once; it gets no configuration and no secrets. */
async function checkStart(
  folder: string,
  version: string,
  { startMs = START_MS }: StageDeps,
  signal: AbortSignal,
): Promise<void> {
  const { PATH, HOME, TMPDIR, LD_LIBRARY_PATH } = process.env;
  const run = promisify(execFile);
  const said = await run(process.execPath, [join(folder, AGENT_ENTRY), '--version'], {
    env: { PATH, HOME, TMPDIR, LD_LIBRARY_PATH },
    timeout: startMs,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_OUTPUT_BYTES,
    signal,
  }).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw startFailure(cause, startMs);
  });
  if (said.stdout.trim() === version) return;
  const words = said.stdout.trim().slice(0, 100);
  throw new AppError('invalid', `the program says that it is ${JSON.stringify(words)}, expected ${version}`);
}

function startFailure(cause: unknown, startMs: number): AppError {
  if (cause instanceof Error && 'killed' in cause && cause.killed === true) {
    return new AppError('timeout', `the program did not say its version within ${startMs} ms`, { cause });
  }
  const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
  const words = stderr.split('\n').find((line) => /^\w*Error\b/.test(line)) ?? describeError(cause);
  return new AppError('invalid', `the program does not start: ${words.trim().slice(0, 300)}`, { cause });
}
