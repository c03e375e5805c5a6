import { AppError } from '../../shared/errors.ts';
import { manifestParser } from '../../shared/family/manifest.ts';
import { MAX_MANIFEST_BYTES } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import { checkFamilyFits } from '../../shared/release/family-fit.ts';
import { type HashedBlob, hashBlob } from '../../shared/release/hash-blob.ts';
import type { ReleaseBlob, ReleaseManifest } from '../../shared/release/manifest.ts';
import { parseJson } from '../../shared/schema.ts';
import type { BlobFolder } from './blob-folder.ts';
import { MissingBlobs } from './releases.ts';

const parseFamily = manifestParser();

/**
 * Checks that all blobs of a release are here, that they have the content and the chunks that its manifest says,
 * and that a family is whole: what is wrong with it should not come out on the devices.
 * @throws MissingBlobs also for those whose file has been damaged, which are removed; AppError `invalid`
 */
export async function checkBlobs(manifest: ReleaseManifest, blobs: BlobFolder): Promise<void> {
  const what = `${manifest.kind} ${manifest.name} ${manifest.version}`;
  const missing = manifest.blobs.filter(({ sha256 }) => blobs.bytesOf(sha256) === undefined);
  if (missing.length > 0)
    throw new MissingBlobs(
      what,
      missing.map(({ sha256 }) => sha256),
    );
  for (const blob of manifest.blobs) await checkBlob(blob, { what, blobs });
  const family = manifest.blobs.find(({ role }) => role === 'family');
  if (family !== undefined) await checkFamily(manifest, { what, path: blobs.pathOf(family.sha256) });
}

async function checkBlob(
  blob: ReleaseBlob,
  { what, blobs }: { readonly what: string; readonly blobs: BlobFolder },
): Promise<void> {
  const found = await hashOf(blobs.pathOf(blob.sha256));
  if (found?.sha256 !== blob.sha256) {
    await blobs.remove([blob.sha256]);
    throw new MissingBlobs(what, [blob.sha256]);
  }
  if (found.bytes !== blob.bytes) {
    throw new AppError(
      'invalid',
      `${what}: blob ${blob.sha256} has ${found.bytes} bytes, its manifest says ${blob.bytes}`,
    );
  }
  const wrong = blob.chunks.findIndex((chunk, n) => found.chunks[n] !== chunk);
  if (wrong < 0) return;
  throw new AppError(
    'invalid',
    `${what}: chunk ${wrong} of blob ${blob.sha256} is not what its manifest says`,
  );
}

/** Undefined for what is there no more; what cannot be read just now may still be good. */
async function hashOf(path: string): Promise<HashedBlob | undefined> {
  try {
    return await hashBlob(path);
  } catch (error) {
    if (error instanceof AppError && error.code !== 'system') return undefined;
    throw error;
  }
}

async function checkFamily(
  manifest: ReleaseManifest,
  { what, path }: { readonly what: string; readonly path: string },
): Promise<void> {
  const text = new TextDecoder().decode(await readWhole(path, MAX_MANIFEST_BYTES));
  checkFamilyFits(manifest, parseJson(text, parseFamily, `${what}: its family.json`));
}
