import sharp, { type Sharp } from 'sharp';
import { AppError, describeError } from '../errors.ts';

/** [height, width, channels] of decoded images. */
export type ImageShape = readonly [height: number, width: number, channels: number];

/** An image with more pixels is refused: a small file may unpack to gigabytes. */
const MAX_PIXELS = 50_000_000;

export interface DecodeOptions {
  /**
   * Above 0, at most 1. Keeps the image's proportions instead of stretching it: its shorter side is brought
   * to the frame's divided by this, then the middle is cut out. ImageNet is evaluated with 0.875.
   */
  readonly crop?: number;
}

/**
 * Decodes an image file (path or bytes) to a frame: stretched to height and width or cropped, grey for one
 * channel, RGB for three, transparency over black, turned upright.
 * @param what names the image in errors
 * @throws AppError `invalid` when it cannot be decoded, `config` for a number of channels that no image has
 */
export async function decodeImage(
  image: string | Uint8Array,
  [height, width, channels]: ImageShape,
  what: string,
  { crop }: DecodeOptions = {},
): Promise<Uint8Array> {
  if (channels !== 1 && channels !== 3) {
    throw new AppError('config', `the family takes ${channels} channels, images are decoded to 1 or 3`);
  }
  let decoded: Uint8Array;
  try {
    const upright = sharp(image, { limitInputPixels: MAX_PIXELS, failOn: 'error' }).autoOrient();
    const opaque = upright.flatten({ background: 'black' });
    const resized =
      crop === undefined
        ? opaque.resize(width, height, { fit: 'fill' })
        : cropped(opaque, height, width, crop);
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

/** Resize(ceil(side / crop)) and CenterCrop(side) of torchvision: bilinear, with anti-aliasing. */
function cropped(image: Sharp, height: number, width: number, crop: number): Sharp {
  const whole = { height: Math.ceil(height / crop), width: Math.ceil(width / crop) };
  return image.resize({ ...whole, fit: 'cover', kernel: 'linear', fastShrinkOnLoad: false }).extract({
    left: Math.round((whole.width - width) / 2),
    top: Math.round((whole.height - height) / 2),
    width,
    height,
  });
}

function toChannels(image: Sharp, channels: 1 | 3): Sharp {
  return channels === 1 ? image.greyscale().toColourspace('b-w') : image.toColourspace('srgb');
}
