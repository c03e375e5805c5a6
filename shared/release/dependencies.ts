import { realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import Type, { type Static } from 'typebox';
import { AppError, isSystemError } from '../errors.ts';
import { readWhole, sha256 } from '../files.ts';
import { type Parser, parseJson, parserOf } from '../schema.ts';

const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_PACKAGES = 5_000;

const NamesSchema = Type.Record(Type.String({ maxLength: 214 }), Type.String());

/** What is read of any `package.json`: old packages have much that npm would not take today. */
const PackageSchema = Type.Object({
  version: Type.String({ maxLength: 64 }),
  dependencies: Type.Optional(NamesSchema),
  optionalDependencies: Type.Optional(NamesSchema),
});

/** What is read of the program's own. */
const ProgramPackageSchema = Type.Object({
  ...PackageSchema.properties,
  name: Type.String({ maxLength: 214 }),
  files: Type.Optional(Type.Array(Type.String())),
  engines: Type.Optional(Type.Object({ node: Type.Optional(Type.String()) })),
});
export type ProgramPackage = Static<typeof ProgramPackageSchema>;

type Dependencies = Pick<ProgramPackage, 'dependencies' | 'optionalDependencies'>;

/**
 * Reads the program's `package.json`.
 * @throws AppError `not-found`, `invalid`, `system`
 */
export function readProgramPackage(folder: string): Promise<ProgramPackage> {
  return readPackage(folder, parserOf(ProgramPackageSchema));
}

async function readPackage<T>(folder: string, parse: Parser<T>): Promise<T> {
  const path = join(folder, 'package.json');
  return parseJson(Buffer.from(await readWhole(path, MAX_MANIFEST_BYTES)).toString(), parse, path);
}

/** A package that is there, as Node.js finds it. */
export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** Real path. */
  readonly folder: string;
  /** The program itself asks for it; else another package does. */
  readonly isDirect: boolean;
  /** It may be missing, as one for another kind of machine is. */
  readonly isOptional: boolean;
}

interface Wanted {
  readonly name: string;
  readonly from: string;
  readonly isDirect: boolean;
  readonly isOptional: boolean;
}

/**
 * Finds all packages that a program needs when it runs, by Node.js' own rule: the nearest `node_modules`, upwards.
 * Not from a lock file: npm leaves none where it installs a program globally, nor below another project.
 * @param root folder where the program's code lies, or would lie
 * @param wanted what the program's `package.json` says
 * @throws AppError `not-found` when one that is needed is not there
 */
export async function findDependencies(root: string, wanted: Dependencies): Promise<InstalledPackage[]> {
  const parse = parserOf(PackageSchema);
  const found = new Map<string, InstalledPackage>();
  const queue = wantedOf(wanted, await realpath(root), true, false);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const folder = await resolvePackage(next.name, next.from);
    if (folder === undefined && !next.isOptional) {
      throw new AppError(
        'not-found',
        `package ${next.name}, which ${next.from} needs, is not installed there`,
      );
    }
    if (folder === undefined || !isNews(found.get(folder), next)) continue;
    if (found.size >= MAX_PACKAGES)
      throw new AppError('invalid', `${root}: more than ${MAX_PACKAGES} packages`);
    const manifest = await readPackage(folder, parse);
    const { name, isDirect, isOptional } = next;
    const known = found.get(folder);
    found.set(folder, {
      name,
      version: manifest.version,
      folder,
      isDirect: isDirect || known?.isDirect === true,
      isOptional,
    });
    queue.push(...wantedOf(manifest, folder, false, isOptional));
  }
  return [...found.values()];
}

/** What was found as optional is looked at anew where it turns out to be needed. */
function isNews(known: InstalledPackage | undefined, { isDirect, isOptional }: Wanted): boolean {
  return known === undefined || (known.isOptional && !isOptional) || (isDirect && !known.isDirect);
}

function wantedOf(
  { dependencies = {}, optionalDependencies = {} }: Dependencies,
  from: string,
  isDirect: boolean,
  isOptional: boolean,
): Wanted[] {
  const optional = Object.keys(optionalDependencies).map((name) => ({
    name,
    from,
    isDirect,
    isOptional: true,
  }));
  // npm lists optional ones in both places.
  const needed = Object.keys(dependencies).filter((name) => !Object.hasOwn(optionalDependencies, name));
  return [...needed.map((name) => ({ name, from, isDirect, isOptional })), ...optional];
}

const NAME = /^(@[a-z0-9~_-][a-z0-9._~-]*\/)?[a-z0-9~_-][a-z0-9._~-]*$/i;

async function resolvePackage(name: string, from: string): Promise<string | undefined> {
  if (!NAME.test(name)) throw new AppError('invalid', `${from}: '${name}' is no name of a package`);
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, 'node_modules', name);
    if (await isFile(join(candidate, 'package.json'))) return await realpath(candidate);
    if (dirname(folder) === folder) return undefined;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return false;
    throw error;
  }
}

/**
 * One hash of names and versions of all packages that are needed. Optional ones do not count: they differ between
 * kinds of machine, and what asks for them names their exact version.
 */
export function dependencyDigest(packages: readonly InstalledPackage[]): string {
  const needed = packages.filter(({ isOptional }) => !isOptional);
  const lines = new Set(needed.map(({ name, version }) => `${name}@${version}\n`));
  return sha256([...lines].sort().join(''));
}
