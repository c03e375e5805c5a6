import { describe, expect, it } from 'vitest';
import { parseIdxImages, parseIdxLabels } from '../../../shared/images/idx.ts';

function idx(dimensions: number[], elements: number[], type = 0x08): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * dimensions.length));
  header.setUint8(2, type);
  header.setUint8(3, dimensions.length);
  for (const [index, dimension] of dimensions.entries()) header.setUint32(4 + 4 * index, dimension);
  return Uint8Array.from([...new Uint8Array(header.buffer), ...elements]);
}

describe('images in IDX', () => {
  it('are read with their size, grey when there is no fourth dimension', () => {
    const images = parseIdxImages(idx([2, 1, 3], [1, 2, 3, 4, 5, 6]), 'images');
    expect(images).toEqual({ count: 2, shape: [1, 3, 1], pixels: Uint8Array.of(1, 2, 3, 4, 5, 6) });
  });

  it('may have channels', () => {
    expect(parseIdxImages(idx([1, 1, 2, 3], [1, 2, 3, 4, 5, 6]), 'images').shape).toEqual([1, 2, 3]);
  });

  it('are read from the middle of a buffer', () => {
    const whole = Uint8Array.from([9, 9, ...idx([1, 1, 2], [7, 8]), 9]);
    expect(parseIdxImages(whole.subarray(2, whole.length - 1), 'images').pixels).toEqual(Uint8Array.of(7, 8));
  });

  const refused: [string, Uint8Array, string][] = [
    ['truncated', idx([2, 1, 3], [1, 2]), 'f: 18 bytes, expected 22 as its header says 2 x 1 x 3'],
    ['too long', idx([1, 1, 1], [1, 2]), 'f: 18 bytes, expected 17 as its header says 1 x 1 x 1'],
    ['cut in the header', idx([2, 1, 3], []).subarray(0, 10), 'f: 10 bytes, its header alone has 16'],
    ['shorter than a magic number', Uint8Array.of(0, 0), 'f: 2 bytes, an IDX header has at least 4'],
    ['of another element type', idx([1, 1, 1], [1], 0x0d), 'f: begins with 0x00000d03, expected 0x000008..'],
    ['of another format', new TextEncoder().encode('\x89PNG'), 'f: begins with 0x'],
    ['labels', idx([2], [1, 2]), 'f: 1 dimensions, images have 3 or 4'],
  ];

  it.each(refused)('are refused when the file is %s', (_case, bytes, message) => {
    expect(() => parseIdxImages(bytes, 'f')).toThrow(message);
  });
});

describe('labels in IDX', () => {
  it('are read', () => {
    expect(parseIdxLabels(idx([3], [4, 5, 6]), 'labels')).toEqual(Uint8Array.of(4, 5, 6));
  });

  it('are refused when the file holds images', () => {
    expect(() => parseIdxLabels(idx([1, 1, 1], [1]), 'labels')).toThrow(
      'labels: 3 dimensions, labels have 1',
    );
  });
});
