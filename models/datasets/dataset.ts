import type { ImageShape } from '../../shared/images/decode.ts';

/** Labelled images of one shape. Images of files are decoded when they are asked for, and not kept. */
export interface Dataset {
  readonly name: string;
  readonly count: number;
  /** [height, width, channels] of every image. */
  readonly shape: ImageShape;
  /** Names of the classes, in the order of their indices, where they are known. */
  readonly labels?: readonly string[];
  /** Where the indices of the classes come from, where the classes are known. */
  readonly labelOrder?: LabelOrder;
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

/**
 * Where the indices of classes come from: a list of their names that was given, numbers in the data, or only
 * the order of the names that occur in the data, which a model need not share.
 */
export type LabelOrder = 'given' | 'numbers' | 'guessed';

/** How images are brought to a data set's shape, which of them are taken, and which classes they may have. */
export interface DatasetOptions {
  /** Shape of the frames: images of files are brought to it, IDX images must have it. */
  readonly shape?: ImageShape;
  /** Without `shape`: images of files are brought to this one, IDX images may have any. */
  readonly fileShape?: ImageShape;
  /**
   * At most so many images; default all. Of IDX the first ones. Of files, which often lie in the order of
   * their classes, the random choice of `spread`; the others are not read.
   */
  readonly count?: number;
  /** Names of the classes; a label that is not among them is refused. */
  readonly labels?: readonly string[];
  /** 0..1: files are cropped as `decodeImage` says, instead of stretched. */
  readonly crop?: number;
  /** The classes do not matter: every image of a folder or CSV file is of class 0, and need not have one. */
  readonly unlabelled?: boolean;
  readonly signal?: AbortSignal;
}

/** Reads and checks the index of an image. */
export function itemAt<T>(items: ArrayLike<T>, index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`image ${index} of ${items.length}`);
  return item;
}
