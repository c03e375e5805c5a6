import type { ImageShape } from '../../shared/images/decode.ts';

/** [height, width, channels] of the family's frames. */
export type FrameShape = ImageShape;

/** One image, decoded to the family's size. */
export interface Frame {
  /** Height x width x channels bytes, row by row; only to be read, it may be part of the source's memory. */
  readonly pixels: Uint8Array;
  /** Index into the family's labels, where it is known. */
  readonly label?: number;
  readonly name: string;
}

/** Where frames come from. It never ends: after the last image comes the first again. */
export interface FrameSource {
  readonly name: string;
  /**
   * The next frame.
   * @throws AppError `invalid` when the image cannot be read; the next call goes on with the one after it
   */
  next(): Promise<Frame>;
  /** Number of the image that `next` gives, counted from the first of the source. */
  position(): number;
  /** Goes on with the image of that number, counted on from the first again after the last. */
  seek(position: number): void;
  close(): Promise<void>;
}
