import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { openFrameSource } from '../../agent/frames/open.ts';
import { sharedSource } from '../../agent/frames/shared.ts';
import type { FrameSource } from '../../agent/frames/source.ts';
import { BUNDLED_IMAGES, BUNDLED_LABELS } from '../support/bundled.ts';
import { temporaryFolder } from '../support/temp.ts';

const LABELS = ['T-shirt/top', 'Trouser', 'Ankle boot'];
const TINY = { shape: [1, 2, 1], labels: LABELS } as const;

/** An IDX file of 2 x 1 images with these pixels. */
function tinyImages(...pixels: number[]): Uint8Array {
  return Uint8Array.of(0, 0, 8, 3, 0, 0, 0, pixels.length / 2, 0, 0, 0, 1, 0, 0, 0, 2, ...pixels);
}

function tinyLabels(...labels: number[]): Uint8Array {
  return Uint8Array.of(0, 0, 8, 1, 0, 0, 0, labels.length, ...labels);
}

async function take(
  source: FrameSource,
  count: number,
): Promise<[name: string, pixels: number[], label?: number][]> {
  const taken: [string, number[], number?][] = [];
  for (let index = 0; index < count; index += 1) {
    const { name, pixels, label } = await source.next();
    taken.push(label === undefined ? [name, [...pixels]] : [name, [...pixels], label]);
  }
  return taken;
}

async function writeImage(path: string, colour: { r: number; g: number; b: number }): Promise<void> {
  await sharp({ create: { width: 5, height: 3, channels: 3, background: colour } }).toFile(path);
}

const WHITE = { r: 255, g: 255, b: 255 };
const RED = { r: 255, g: 0, b: 0 };

describe('a source of IDX files', () => {
  it('gives images with their labels and begins again after the last', async () => {
    await using folder = await temporaryFolder();
    const images = join(folder.path, 'images');
    await writeFile(images, tinyImages(1, 2, 3, 4));
    await writeFile(join(folder.path, 'labels.gz'), gzipSync(tinyLabels(2, 0)));
    const source = await openFrameSource(`idx:${images},${join(folder.path, 'labels.gz')}`, TINY);
    expect(await take(source, 3)).toEqual([
      ['images#0', [1, 2], 2],
      ['images#1', [3, 4], 0],
      ['images#0', [1, 2], 2],
    ]);
    await source.close();
  });

  it('begins where it is told to, and needs no labels', async () => {
    await using folder = await temporaryFolder();
    const images = join(folder.path, 'images');
    await writeFile(images, tinyImages(1, 2, 3, 4, 5, 6));
    const source = await openFrameSource(`idx:${images}`, { ...TINY, offset: 5 });
    expect(await take(source, 2)).toEqual([
      ['images#2', [5, 6]],
      ['images#0', [1, 2]],
    ]);
  });

  it('goes on with the image that it is told, which is where another source of the same images is', async () => {
    await using folder = await temporaryFolder();
    const images = join(folder.path, 'images');
    await writeFile(images, tinyImages(1, 2, 3, 4, 5, 6));
    const one = sharedSource(await openFrameSource(`idx:${images}`, { ...TINY, offset: 1 }));
    const other = await openFrameSource(`idx:${images}`, TINY);
    await take(one, 1);
    other.seek(one.position());
    expect((await take(other, 2)).map(([name]) => name)).toEqual(['images#2', 'images#0']);
    other.seek(-1);
    expect(other.position()).toBe(2);
    other.seek(7);
    expect(other.position()).toBe(1);
  });

  it('that is shared is at one image for all, and closed by the last of them', async () => {
    const done: string[] = [];
    const source = sharedSource({
      name: 'camera',
      next: async () => ({ name: `${done.push('next')}`, pixels: new Uint8Array() }),
      position: () => done.length,
      seek: () => undefined,
      close: async () => void done.push('closed'),
    });
    const other = source.share();
    await source.next();
    expect(other.position()).toBe(1);
    await source.close();
    await source.close();
    expect((await other.next()).name).toBe('2');
    await other.close();
    expect(done).toEqual(['next', 'next', 'closed']);
  });

  it('reads the bundled test images', async () => {
    const labels = Array.from({ length: 10 }, (_, index) => `class ${index}`);
    const source = await openFrameSource(`idx:${BUNDLED_IMAGES},${BUNDLED_LABELS}`, {
      shape: [28, 28, 1],
      labels,
    });
    const { pixels, label } = await source.next();
    expect({ size: pixels.length, label }).toEqual({ size: 784, label: 9 });
  });

  const refused: [string, Uint8Array, Uint8Array, { code: string; message: RegExp }][] = [
    [
      'a truncated file',
      tinyImages(1, 2).subarray(0, 17),
      tinyLabels(0),
      { code: 'invalid', message: /17 bytes/ },
    ],
    [
      'fewer labels',
      tinyImages(1, 2, 3, 4),
      tinyLabels(0),
      { code: 'invalid', message: /1 labels for 2 images/ },
    ],
    [
      'an unknown class',
      tinyImages(1, 2),
      tinyLabels(3),
      { code: 'invalid', message: /label 3 at 0, .* 3 classes/ },
    ],
    ['no image at all', tinyImages(), tinyLabels(), { code: 'config', message: /holds no image/ }],
  ];

  it.each(refused)('is refused for %s', async (_case, images, labels, error) => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, 'i'), images);
    await writeFile(join(folder.path, 'l'), labels);
    const opening = openFrameSource(`idx:${join(folder.path, 'i')},${join(folder.path, 'l')}`, TINY);
    await expect(opening).rejects.toMatchObject({
      code: error.code,
      message: expect.stringMatching(error.message),
    });
  });

  it('is refused when its images do not have the size of the family, or its file is missing', async () => {
    const opening = openFrameSource(`idx:${BUNDLED_IMAGES}`, TINY);
    await expect(opening).rejects.toMatchObject({ code: 'config' });
    await expect(openFrameSource('idx:/nowhere/images', TINY)).rejects.toMatchObject({ code: 'not-found' });
    await expect(openFrameSource('idx:', TINY)).rejects.toMatchObject({ code: 'config' });
  });
});

describe('a source of a folder of images', () => {
  it('labels images by the names of their folders, in the order of names', async () => {
    await using folder = await temporaryFolder();
    for (const name of ['ankle_boot', 't-shirt-top', 'unknown']) await mkdir(join(folder.path, name));
    await writeImage(join(folder.path, 'unknown', 'a.png'), WHITE);
    await writeImage(join(folder.path, 't-shirt-top', 'b.webp'), WHITE);
    await writeImage(join(folder.path, 'ankle_boot', 'c.JPG'), WHITE);
    await writeImage(join(folder.path, 'd.jpeg'), WHITE);
    await writeFile(join(folder.path, 'notes.txt'), 'no image');
    const source = await openFrameSource(folder.path, TINY);
    expect(await take(source, 5)).toEqual([
      ['ankle_boot/c.JPG', [255, 255], 2],
      ['d.jpeg', [255, 255]],
      ['t-shirt-top/b.webp', [255, 255], 0],
      ['unknown/a.png', [255, 255]],
      ['ankle_boot/c.JPG', [255, 255], 2],
    ]);
  });

  it('decodes to grey or to RGB as the family takes it', async () => {
    await using folder = await temporaryFolder();
    await writeImage(join(folder.path, 'red.png'), RED);
    const colour = await openFrameSource(folder.path, { shape: [1, 2, 3], labels: LABELS });
    expect((await colour.next()).pixels).toEqual(Buffer.of(255, 0, 0, 255, 0, 0));
    const grey = await openFrameSource(folder.path, TINY);
    const [first, second, ...rest] = (await grey.next()).pixels;
    expect(rest).toEqual([]);
    expect(first).toBe(second);
    expect(first).toBeGreaterThan(30);
    expect(first).toBeLessThan(150);
  });

  it('decodes a grey image to RGB, and a transparent one over black', async () => {
    await using folder = await temporaryFolder();
    const grey = { width: 2, height: 1, channels: 1 } as const;
    await sharp(Buffer.of(7, 7), { raw: grey }).toColourspace('b-w').png().toFile(join(folder.path, 'a.png'));
    const clear = { width: 2, height: 1, channels: 4 } as const;
    await sharp(Buffer.alloc(8, 0), { raw: clear }).png().toFile(join(folder.path, 'b.png'));
    const source = await openFrameSource(folder.path, { shape: [1, 2, 3], labels: LABELS });
    expect((await take(source, 2)).map(([, pixels]) => pixels)).toEqual([Array(6).fill(7), Array(6).fill(0)]);
  });

  it('names an image that cannot be read, and goes on with the next', async () => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, 'a.png'), 'this is no image');
    await writeImage(join(folder.path, 'b.png'), WHITE);
    const source = await openFrameSource(folder.path, TINY);
    for (let round = 0; round < 2; round += 1) {
      await expect(source.next()).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringContaining(join(folder.path, 'a.png')),
      });
      expect((await source.next()).name).toBe('b.png');
    }
  });

  it('is refused when there is no image in it, or no such folder', async () => {
    await using folder = await temporaryFolder();
    await expect(openFrameSource(folder.path, TINY)).rejects.toMatchObject({ code: 'config' });
    await expect(openFrameSource('/nowhere', TINY)).rejects.toMatchObject({ code: 'config' });
  });
});
