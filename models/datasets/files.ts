import { createHash } from 'node:crypto';
import { AppError, describeError } from '../../shared/errors.ts';
import { sha256OfFile } from '../../shared/files.ts';
import { decodeImage } from '../../shared/images/decode.ts';
import { type Dataset, type DatasetOptions, itemAt } from './dataset.ts';

/** An image file and its class. */
export interface LabelledFile {
  readonly path: string;
  readonly label: number;
  /** Where the file was named, for errors; the path itself when that says it all. */
  readonly what: string;
}

/** A list of more images is refused: it is held in memory. */
export const MAX_IMAGES = 2_000_000;
/** Files that are read at once to identify them. */
const HASHED_AT_ONCE = 16;

export interface FileList {
  readonly name: string;
  readonly files: readonly LabelledFile[];
  /** Names of the classes, where they are known. */
  readonly labels: readonly string[] | undefined;
}

/**
 * A data set of image files. Every file is read once, for the digest, so that one that is missing is told
 * before the work and not in the middle of it.
 * @throws AppError `config` without a shape or with a crop outside of 0..1, `invalid` naming a file that
 * cannot be read, the signal's reason when it aborts
 */
export async function datasetOfFiles(
  { name, files, labels }: FileList,
  options: DatasetOptions,
): Promise<Dataset> {
  const { shape, crop, signal } = options;
  if (shape === undefined) {
    throw new AppError('config', `${name}: images of files need a shape to be brought to, none is given`);
  }
  if (crop !== undefined && !(crop > 0 && crop <= 1)) {
    throw new AppError('config', `crop: ${crop}, expected a number above 0 and at most 1`);
  }
  if (files.length > MAX_IMAGES) {
    throw new AppError('config', `${name}: ${files.length} images, at most ${MAX_IMAGES} are taken`);
  }
  const decoding = crop === undefined ? {} : { crop };
  return {
    name,
    count: files.length,
    shape,
    ...(labels === undefined ? {} : { labels }),
    digest: await digestOf(files, ['files', shape, crop ?? null, labels ?? null], signal),
    image: async (index) => {
      const { path, what } = itemAt(files, index);
      return await decodeImage(path, shape, what, decoding);
    },
    label: (index) => itemAt(files, index).label,
  };
}

async function digestOf(
  files: readonly LabelledFile[],
  form: unknown,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(form));
  for (let start = 0; start < files.length; start += HASHED_AT_ONCE) {
    signal?.throwIfAborted();
    const digests = await Promise.all(files.slice(start, start + HASHED_AT_ONCE).map(digestOfFile));
    for (const digest of digests) hash.update(digest);
  }
  return hash.digest('hex');
}

async function digestOfFile({ path, label, what }: LabelledFile): Promise<string> {
  try {
    return `${label} ${await sha256OfFile(path)}\n`;
  } catch (cause) {
    throw new AppError('invalid', `${what}: cannot be read: ${describeError(cause)}`, { cause });
  }
}
