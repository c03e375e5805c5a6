import { join } from 'node:path';
import { AppError } from '../errors.ts';
import type { Manifest, Precision } from '../family/manifest.ts';
import { type Family, MANIFEST_FILE, modelPath, recipePath } from '../family/read.ts';
import { MAX_RELEASE_BYTES } from '../protocol/release.ts';
import type { HashedBlob } from './hash-blob.ts';
import {
  type BlobRole,
  type HardwareFit,
  type ReleaseBlob,
  type ReleaseManifest,
  releaseParser,
} from './manifest.ts';

export type FamilyForm = NonNullable<ReleaseManifest['form']>;

/** What the publisher says of a release. */
export interface ReleaseFacts {
  readonly name: string;
  readonly version: number;
  /** Milliseconds since the epoch. */
  readonly createdTs: number;
  readonly expiresTs: number;
  readonly minAgent?: string | undefined;
  readonly hardware?: HardwareFit | undefined;
}

/** A file that becomes a blob of a release. */
export interface ReleaseFile {
  readonly role: BlobRole;
  readonly path: string;
  /** What its content has to be, where that is known before. */
  readonly sha256?: string;
}

/** The same, hashed. */
export interface HashedFile extends ReleaseFile, Omit<HashedBlob, 'sha256'> {
  readonly sha256: string;
}

/**
 * The files that a family's release is made of, each content once.
 * @param backbonePath of a family of recipes: the file with the weights that they are for
 * @throws AppError `invalid` when the family has no recipes for that form
 */
export function filesOfFamily(
  { manifest, sha256, folder }: Pick<Family, 'manifest' | 'sha256' | 'folder'>,
  form: FamilyForm,
  backbonePath?: string,
): ReleaseFile[] {
  const head: ReleaseFile = { role: 'family', path: join(folder, MANIFEST_FILE), sha256 };
  const recipes = recipeFiles(folder, manifest);
  if (form === 'full') return unique([head, ...modelFiles(folder, manifest), ...recipes]);
  const problem = recipesProblem(manifest);
  if (problem !== undefined) throw new AppError('invalid', `${head.path}: ${problem}`);
  if (backbonePath === undefined) {
    throw new AppError('invalid', `${head.path}: recipes need the file of their backbone`);
  }
  return unique([head, ...recipes, { role: 'backbone', path: backbonePath }]);
}

function modelFiles(folder: string, { levels }: Manifest): ReleaseFile[] {
  return levels.map((level) => ({
    role: 'model',
    path: modelPath(folder, level),
    sha256: level.model.sha256,
  }));
}

function recipeFiles(folder: string, { levels }: Manifest): ReleaseFile[] {
  return levels.flatMap(({ recipe }) =>
    recipe === undefined
      ? []
      : [{ role: 'recipe' as const, path: recipePath(folder, recipe), sha256: recipe.sha256 }],
  );
}

function unique(files: readonly ReleaseFile[]): ReleaseFile[] {
  const first = new Map(files.map((file) => [file.sha256 ?? file.path, file]));
  return [...first.values()];
}

function recipesProblem({ backbone, levels }: Manifest): string | undefined {
  if (backbone === undefined) return 'it names no backbone, so its models cannot be cut on a device';
  const index = levels.findIndex(({ recipe }) => recipe === undefined);
  return index < 0 ? undefined : `level ${index} has no recipe, so it cannot be cut on a device`;
}

/**
 * What is to be signed of a family.
 * @param files those of `filesOfFamily`, hashed
 * @throws AppError `invalid` when devices would refuse it
 */
export function familyRelease(
  family: Manifest,
  files: readonly HashedFile[],
  facts: ReleaseFacts & { readonly form: FamilyForm },
): ReleaseManifest {
  const { form } = facts;
  const weights = files.find(({ role }) => role === 'backbone')?.sha256;
  const backbone =
    form === 'recipes' && family.backbone !== undefined && weights !== undefined
      ? { id: family.backbone.id, sha256: weights }
      : undefined;
  const precisions = [...new Set(family.levels.map(({ precision = 'fp32' }): Precision => precision))];
  return checked({
    ...headOf('family', facts),
    form,
    ...(backbone !== undefined && { backbone }),
    precisions,
    blobs: blobsOf(files),
  });
}

/**
 * What is to be signed of a program.
 * @throws AppError `invalid` when devices would refuse it
 */
export function programRelease(
  file: HashedFile,
  facts: ReleaseFacts & { readonly program: NonNullable<ReleaseManifest['program']> },
): ReleaseManifest {
  return checked({ ...headOf('program', facts), program: facts.program, blobs: blobsOf([file]) });
}

function headOf(
  kind: ReleaseManifest['kind'],
  { name, version, createdTs, expiresTs, minAgent, hardware }: ReleaseFacts,
): Omit<ReleaseManifest, 'blobs'> {
  return {
    format: 1,
    document: 'release',
    ...{ kind, name, version, createdTs, expiresTs },
    ...(minAgent !== undefined && { minAgent }),
    ...(hardware !== undefined && { hardware }),
  };
}

function blobsOf(files: readonly HashedFile[]): ReleaseBlob[] {
  return files.map(({ role, sha256, bytes, chunks }) => ({ role, sha256, bytes, chunks: [...chunks] }));
}

const parse = releaseParser();

function checked(manifest: ReleaseManifest): ReleaseManifest {
  const what = `${manifest.kind} ${manifest.name} ${manifest.version}`;
  parse(manifest, what);
  if (manifest.expiresTs > manifest.createdTs) return manifest;
  throw new AppError('invalid', `${what}: it would have expired when it is signed`);
}

/**
 * The exact bytes that are signed.
 * @throws AppError `invalid` when there are too many
 */
export function encodeRelease(manifest: ReleaseManifest): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  if (bytes.length <= MAX_RELEASE_BYTES) return bytes;
  const what = `${manifest.kind} ${manifest.name} ${manifest.version}`;
  throw new AppError(
    'invalid',
    `${what}: its manifest has ${bytes.length} bytes, at most ${MAX_RELEASE_BYTES} are taken`,
  );
}
