import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { readMaybeGzip } from '../../shared/images/gzip.ts';
import { type IdxImages, parseIdxImages, parseIdxLabels } from '../../shared/images/idx.ts';
import { type Dataset, type DatasetOptions, itemAt } from './dataset.ts';
import { subset } from './subset.ts';

/** The two files of a data set in IDX. */
export interface IdxPair {
  readonly imagesPath: string;
  readonly labelsPath: string;
}

const IMAGES_NAME = /^(?<split>.*)images([-.])idx[34]-ubyte(\.gz)?$/;

/**
 * Finds the pair of IDX files in a folder, named as MNIST's are: `t10k-images-idx3-ubyte.gz` and
 * `t10k-labels-idx1-ubyte.gz`, packed or not.
 * @returns undefined when no file is named so
 * @throws AppError `config` when there are several pairs, or images without labels
 */
export async function findIdxPair(folder: string): Promise<IdxPair | undefined> {
  const names = (await readdir(folder)).sort();
  const pairs = names.flatMap((name) => {
    const split = IMAGES_NAME.exec(name)?.groups?.['split'];
    return split === undefined ? [] : [{ imagesPath: join(folder, name), labels: labelsOf(split, names) }];
  });
  const [first, ...others] = pairs;
  if (first === undefined) return undefined;
  if (others.length > 0) {
    const choices = pairs.map(({ imagesPath, labels }) => `${imagesPath},${join(folder, labels ?? '?')}`);
    throw new AppError('config', `${folder}: holds several data sets; name one: ${choices.join(' or ')}`);
  }
  if (first.labels === undefined) {
    throw new AppError('config', `${first.imagesPath}: there is no file of its labels beside it`);
  }
  return { imagesPath: first.imagesPath, labelsPath: join(folder, first.labels) };
}

function labelsOf(split: string, names: readonly string[]): string | undefined {
  return names.find(
    (name) =>
      name.startsWith(`${split}labels`) && /^labels[-.]idx1-ubyte(\.gz)?$/.test(name.slice(split.length)),
  );
}

/**
 * Opens a pair of IDX files, packed with gzip or not, or the first `count` of its images. The images stay in
 * memory.
 * @throws AppError `not-found` or `invalid` for the files, `config` when the images have another shape
 */
export async function openIdxDataset(pair: IdxPair, options: DatasetOptions): Promise<Dataset> {
  const whole = await openWhole(pair, options);
  if (options.count === undefined) return whole;
  return subset(whole, { count: Math.min(options.count, whole.count) });
}

async function openWhole(pair: IdxPair, options: DatasetOptions): Promise<Dataset> {
  const { imagesPath, labelsPath } = pair;
  const images = parseIdxImages(await readMaybeGzip(imagesPath), imagesPath);
  const labels = parseIdxLabels(await readMaybeGzip(labelsPath), labelsPath);
  const problem = problemOf(images, labels, pair, options);
  if (problem !== undefined) throw problem;
  const [height, width, channels] = images.shape;
  const bytes = height * width * channels;
  return {
    name: basename(imagesPath),
    count: images.count,
    shape: images.shape,
    ...(options.labels === undefined ? {} : { labels: options.labels }),
    // The names are shown only: the data have the numbers.
    labelOrder: options.labels === undefined ? 'numbers' : 'given',
    digest: digestOf(images, labels, options.labels),
    image: async (index) => {
      itemAt(labels, index);
      return images.pixels.subarray(index * bytes, (index + 1) * bytes);
    },
    label: (index) => itemAt(labels, index),
  };
}

function problemOf(
  images: IdxImages,
  labels: Uint8Array,
  { imagesPath, labelsPath }: IdxPair,
  { shape, labels: names }: DatasetOptions,
): AppError | undefined {
  if (images.count === 0) return new AppError('config', `${imagesPath}: holds no image`);
  if (shape !== undefined && images.shape.some((dimension, index) => dimension !== shape[index])) {
    const found = images.shape.join(' x ');
    return new AppError('config', `${imagesPath}: images are ${found}, the frames ${shape.join(' x ')}`);
  }
  if (labels.length !== images.count) {
    return new AppError('invalid', `${labelsPath}: ${labels.length} labels for ${images.count} images`);
  }
  if (names === undefined) return undefined;
  const wrong = labels.findIndex((label) => label >= names.length);
  if (wrong < 0) return undefined;
  return new AppError(
    'invalid',
    `${labelsPath}: label ${labels[wrong]} at ${wrong}, there are ${names.length} classes: 0 to ${names.length - 1}`,
  );
}

function digestOf(images: IdxImages, labels: Uint8Array, names: readonly string[] | undefined): string {
  const hash = createHash('sha256').update(JSON.stringify(['idx', images.shape, names ?? null]));
  return hash.update(labels).update(images.pixels).digest('hex');
}
