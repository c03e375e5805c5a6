import { basename } from 'node:path';
import { AppError, invariant } from '../../shared/errors.ts';
import { readMaybeGzip } from '../../shared/images/gzip.ts';
import { type IdxImages, parseIdxImages, parseIdxLabels } from '../../shared/images/idx.ts';
import type { Frame, FrameShape, FrameSource } from './source.ts';

export interface IdxSourceOptions {
  readonly imagesPath: string;
  readonly labelsPath?: string;
  readonly shape: FrameShape;
  /** Number of classes of the family: labels must be below it. */
  readonly classes: number;
  /** The image to begin with, so that several devices on one file do not see the same order; default 0. */
  readonly offset?: number;
}

/**
 * Opens IDX files (MNIST's format), plain or packed with gzip, as a source. The images stay in memory.
 * @throws AppError `not-found` or `invalid` for the files, `config` when the images have another shape than
 * the family's frames
 */
export async function openIdxSource(options: IdxSourceOptions): Promise<FrameSource> {
  const { imagesPath, labelsPath, shape } = options;
  const images = parseIdxImages(await readMaybeGzip(imagesPath), imagesPath);
  if (images.count === 0) throw new AppError('config', `${imagesPath}: holds no image`);
  if (images.shape.some((dimension, index) => dimension !== shape[index])) {
    const found = images.shape.join(' x ');
    throw new AppError(
      'config',
      `${imagesPath}: images are ${found}, the family's frames ${shape.join(' x ')}`,
    );
  }
  const labels = labelsPath === undefined ? undefined : await readLabels(labelsPath, images, options.classes);
  return new IdxSource(images, labels, options);
}

async function readLabels(path: string, images: IdxImages, classes: number): Promise<Uint8Array> {
  const labels = parseIdxLabels(await readMaybeGzip(path), path);
  if (labels.length !== images.count) {
    throw new AppError('invalid', `${path}: ${labels.length} labels for ${images.count} images`);
  }
  const wrong = labels.findIndex((label) => label >= classes);
  if (wrong >= 0) {
    throw new AppError(
      'invalid',
      `${path}: label ${labels[wrong]} at ${wrong}, the family has ${classes} classes`,
    );
  }
  return labels;
}

class IdxSource implements FrameSource {
  readonly name: string;
  readonly #images: IdxImages;
  readonly #labels: Uint8Array | undefined;
  #next: number;

  constructor(
    images: IdxImages,
    labels: Uint8Array | undefined,
    { imagesPath, offset = 0 }: IdxSourceOptions,
  ) {
    invariant(Number.isSafeInteger(offset) && offset >= 0, 'an offset counts images');
    this.name = basename(imagesPath);
    this.#images = images;
    this.#labels = labels;
    this.#next = offset % images.count;
  }

  async next(): Promise<Frame> {
    const index = this.#next;
    const { count, shape, pixels } = this.#images;
    this.#next = (index + 1) % count;
    const bytes = shape[0] * shape[1] * shape[2];
    const label = this.#labels?.[index];
    return {
      pixels: pixels.subarray(index * bytes, (index + 1) * bytes),
      name: `${this.name}#${index}`,
      ...(label === undefined ? {} : { label }),
    };
  }

  position(): number {
    return this.#next;
  }

  seek(position: number): void {
    const count = this.#images.count;
    this.#next = ((position % count) + count) % count;
  }

  async close(): Promise<void> {}
}
