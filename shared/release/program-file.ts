import { text as readText } from 'node:stream/consumers';
import Type, { type Static } from 'typebox';
import { AppError } from '../errors.ts';
import { Sha256Schema } from '../protocol/release.ts';
import { parseJson, parserOf } from '../schema.ts';
import { readTar, type TarLimits } from '../tar.ts';
import { AGENT_ENTRY } from './agent-entry.ts';

/** All files of a packed program lie below it, as in npm's own packages. */
export const PROGRAM_PREFIX = 'package/';
/** What a packed program says of itself, beside its `package.json`. */
export const PROGRAM_NEEDS_FILE = 'ofa-program.json';

/** The program with all its dependencies has a few thousand files and a few hundred megabytes. */
export const PROGRAM_LIMITS: TarLimits = { entries: 50_000, bytes: 2 * 2 ** 30 };

const MAX_NEEDS_BYTES = 64 * 1024;

/** What the release manifest of a program says under `program`; made when the program is packed. */
export const ProgramNeedsSchema = Type.Object({
  version: Type.String({ minLength: 1, maxLength: 64 }),
  /** SHA-256 of the dependencies that must be installed; without it they are in the file. */
  dependencies: Type.Optional(Sha256Schema),
  minNode: Type.Integer({ minimum: 1, maximum: 1_000 }),
});
export type ProgramNeeds = Static<typeof ProgramNeedsSchema>;

/**
 * Reads what a packed program needs; the whole file is checked on the way.
 * @throws AppError `invalid` when it is no packed program, or would not be unpacked by an agent
 */
export async function readProgramNeeds(path: string, limits = PROGRAM_LIMITS): Promise<ProgramNeeds> {
  const parse = parserOf(ProgramNeedsSchema);
  const names = new Set<string>();
  let needs: ProgramNeeds | undefined;
  await readTar(path, limits, async (file) => {
    const name = programPathOf(file.path);
    if (names.has(name)) throw new AppError('invalid', `${path}: ${name} is in it twice`);
    names.add(name);
    if (name !== PROGRAM_NEEDS_FILE) return;
    if (file.bytes > MAX_NEEDS_BYTES)
      throw new AppError('invalid', `${path}: ${name} has ${file.bytes} bytes`);
    needs = parseJson(await readText(file.content), parse, `${path}: ${name}`);
  });
  if (needs === undefined || !names.has(AGENT_ENTRY) || !names.has('package.json')) {
    throw new AppError('invalid', `${path}: no packed program; make one with ofa-fleet program pack`);
  }
  return needs;
}

/**
 * Where a file of the archive lies in the program's folder.
 * @throws AppError `invalid` when it lies outside
 */
export function programPathOf(path: string): string {
  if (!path.startsWith(PROGRAM_PREFIX)) {
    throw new AppError('invalid', `entry ${JSON.stringify(path)}: not below ${PROGRAM_PREFIX}`);
  }
  return path.slice(PROGRAM_PREFIX.length);
}
