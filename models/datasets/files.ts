import { createHash } from 'node:crypto';
import { AppError, describeError } from '../../shared/errors.ts';
import { sha256OfFile } from '../../shared/files.ts';
import { decodeImage } from '../../shared/images/decode.ts';
import { type Dataset, type DatasetOptions, itemAt, type LabelOrder } from './dataset.ts';
import { spread } from './subset.ts';

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
  readonly labelOrder: LabelOrder | undefined;
}

/**
 * A data set of image files, or of `count` of them. Every file of it is read once, for the digest, so that
 * one that is missing is told before the work and not in the middle of it.
 * @throws AppError `config` without a shape or with a crop outside of 0..1, `invalid` naming a file that
 * cannot be read, the signal's reason when it aborts
 */
export async function datasetOfFiles(
  { name, files: all, labels, labelOrder }: FileList,
  options: DatasetOptions,
): Promise<Dataset> {
  const { crop, signal } = options;
  const shape = options.shape ?? options.fileShape;
  if (shape === undefined) {
    throw new AppError(
      'config',
      `${name}: images of files need a size to be brought to, and the model leaves it open; give one as --frame HxW`,
    );
  }
  if (crop !== undefined && !(crop > 0 && crop <= 1)) {
    throw new AppError('config', `crop: ${crop}, expected a number above 0 and at most 1`);
  }
  if (all.length > MAX_IMAGES) {
    throw new AppError('config', `${name}: ${all.length} images, at most ${MAX_IMAGES} are taken`);
  }
  const files = spread(all, options.count ?? all.length);
  const decoding = crop === undefined ? {} : { crop };
  return {
    name,
    count: files.length,
    shape,
    ...(labels === undefined ? {} : { labels }),
    ...(labelOrder === undefined ? {} : { labelOrder }),
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
