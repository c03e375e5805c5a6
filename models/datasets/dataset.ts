import type { ImageShape } from '../../shared/images/decode.ts';

/** Labelled images of one shape. Images of files are decoded when they are asked for, and not kept. */
export interface Dataset {
  readonly name: string;
  readonly count: number;
  /** [height, width, channels] of every image. */
  readonly shape: ImageShape;
  /** Names of the classes, in the order of their indices, where they are known. */
  readonly labels?: readonly string[];
  /** SHA-256 over what the images and labels are made from: equal digests give equal results. */
  readonly digest: string;
  /**
   * The image's pixels, height x width x channels bytes; only to be read, it may be part of the data set's
   * memory.
   * @throws AppError `invalid` when the image cannot be decoded
   */
  image(index: number): Promise<Uint8Array>;
  /** Index of the image's class. */
  label(index: number): number;
}

/** How images are brought to a data set's shape, and which classes they may have. */
export interface DatasetOptions {
  /** Shape of the frames: images of files are brought to it, IDX images must have it. */
  readonly shape?: ImageShape;
  /** Names of the classes; a label that is not among them is refused. */
  readonly labels?: readonly string[];
  /** 0..1: files are cropped as `decodeImage` says, instead of stretched. */
  readonly crop?: number;
  readonly signal?: AbortSignal;
}

/** Reads and checks the index of an image. */
export function itemAt<T>(items: ArrayLike<T>, index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`image ${index} of ${items.length}`);
  return item;
}
