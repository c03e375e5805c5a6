import sharp, { type Sharp } from 'sharp';
import { AppError, describeError } from '../../shared/errors.ts';
import type { FrameShape } from './source.ts';

/** An image with more pixels is refused: a small file may unpack to gigabytes. */
const MAX_PIXELS = 50_000_000;

/**
 * Decodes an image file (path or bytes) to a frame: stretched to height and width, grey for one channel,
 * RGB for three, transparency over black, turned upright.
 * @param what names the image in errors
 * @throws AppError `invalid` when it cannot be decoded, `config` for a number of channels that no image has
 */
export async function decodeImage(
  image: string | Uint8Array,
  [height, width, channels]: FrameShape,
  what: string,
): Promise<Uint8Array> {
  if (channels !== 1 && channels !== 3) {
    throw new AppError('config', `the family takes ${channels} channels, images are decoded to 1 or 3`);
  }
  let decoded: Uint8Array;
  try {
    const upright = sharp(image, { limitInputPixels: MAX_PIXELS, failOn: 'error' }).autoOrient();
    const resized = upright.flatten({ background: 'black' }).resize(width, height, { fit: 'fill' });
    decoded = await toChannels(resized, channels).raw({ depth: 'uchar' }).toBuffer();
  } catch (cause) {
    throw new AppError('invalid', `${what}: cannot be decoded: ${describeError(cause)}`, { cause });
  }
  if (decoded.length !== height * width * channels) {
    throw new AppError(
      'invalid',
      `${what}: decoded to ${decoded.length} bytes, expected ${height * width * channels}`,
    );
  }
  return decoded;
}

function toChannels(image: Sharp, channels: 1 | 3): Sharp {
  return channels === 1 ? image.greyscale().toColourspace('b-w') : image.toColourspace('srgb');
}
