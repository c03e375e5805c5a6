import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { Dataset, DatasetOptions } from '../../../models/datasets/dataset.ts';
import { openDataset } from '../../../models/datasets/open.ts';
import { spread, subset } from '../../../models/datasets/subset.ts';
import { BUNDLED_IMAGES, BUNDLED_LABELS } from '../../support/bundled.ts';
import { temporaryFolder } from '../../support/temp.ts';

const LABELS = ['T-shirt/top', 'Trouser', 'Ankle boot'];
const GREY = { shape: [1, 2, 1] } as const;

/** An IDX file of 2 x 1 images with these pixels. */
function tinyImages(...pixels: number[]): Uint8Array {
  return Uint8Array.of(0, 0, 8, 3, 0, 0, 0, pixels.length / 2, 0, 0, 0, 1, 0, 0, 0, 2, ...pixels);
}

function tinyLabels(...labels: number[]): Uint8Array {
  return Uint8Array.of(0, 0, 8, 1, 0, 0, 0, labels.length, ...labels);
}

/** Files by their paths below the folder; a number makes an image of that grey. */
async function plant(folder: string, files: Readonly<Record<string, Uint8Array | string | number>>) {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    if (typeof content === 'number') await writeGrey(path, content);
    else await writeFile(path, content);
  }
}

async function writeGrey(path: string, grey: number): Promise<void> {
  const background = { r: grey, g: grey, b: grey };
  await sharp({ create: { width: 4, height: 4, channels: 3, background } }).toFile(path);
}

async function contentOf(dataset: Dataset): Promise<[label: number, firstPixel: number | undefined][]> {
  const content: [number, number | undefined][] = [];
  for (let index = 0; index < dataset.count; index += 1) {
    content.push([dataset.label(index), (await dataset.image(index))[0]]);
  }
  return content;
}

describe('a data set in IDX', () => {
  it('is opened by its two files, or the folder that holds them', async () => {
    await using folder = await temporaryFolder();
    await plant(folder.path, {
      't10k-images-idx3-ubyte': tinyImages(1, 2, 3, 4),
      't10k-labels-idx1-ubyte.gz': gzipSync(tinyLabels(2, 0)),
    });
    const pair = ['t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte.gz'].map((name) =>
      join(folder.path, name),
    );
    const opened = await openDataset(pair.join(), { ...GREY, labels: LABELS });
    expect(opened).toMatchObject({ count: 2, shape: [1, 2, 1], labels: LABELS });
    expect(await contentOf(opened)).toEqual([
      [2, 1],
      [0, 3],
    ]);
    for (const spec of [`idx:${pair.join()}`, folder.path]) {
      expect((await openDataset(spec, { labels: LABELS })).digest).toBe(opened.digest);
    }
    expect((await openDataset(folder.path)).digest).not.toBe(opened.digest);
  });

  it('is the bundled test set', async () => {
    const dataset = await openDataset(`${BUNDLED_IMAGES},${BUNDLED_LABELS}`, { shape: [28, 28, 1] });
    expect({ count: dataset.count, first: dataset.label(0) }).toEqual({ count: 10_000, first: 9 });
    expect(await dataset.image(9_999)).toHaveLength(784);
    await expect(dataset.image(10_000)).rejects.toThrow('image 10000 of 10000');
  });

  const refused: [string, Record<string, Uint8Array>, DatasetOptions, RegExp][] = [
    ['fewer labels', { i: tinyImages(1, 2, 3, 4), l: tinyLabels(0) }, {}, /l: 1 labels for 2 images/],
    ['no image', { i: tinyImages(), l: tinyLabels() }, {}, /i: holds no image/],
    [
      'a label out of range',
      { i: tinyImages(1, 2), l: tinyLabels(3) },
      { labels: LABELS },
      /l: label 3 at 0, there are 3 classes: 0 to 2/,
    ],
    [
      'another size',
      { i: tinyImages(1, 2), l: tinyLabels(0) },
      { shape: [2, 2, 1] },
      /i: images are 1 x 2 x 1, the frames 2 x 2 x 1/,
    ],
    ['a missing file', { i: tinyImages(1, 2) }, {}, /l: there is no such file/],
  ];

  it.each(refused)('is refused for %s', async (_case, files, options, message) => {
    await using folder = await temporaryFolder();
    await plant(folder.path, files);
    await expect(openDataset(`${folder.path}/i,${folder.path}/l`, options)).rejects.toThrow(message);
  });

  it('is refused where a folder holds two, or only images', async () => {
    await using folder = await temporaryFolder();
    await plant(folder.path, { 't10k-images-idx3-ubyte': tinyImages(1, 2) });
    await expect(openDataset(folder.path)).rejects.toThrow(/no file of its labels beside it/);
    await plant(folder.path, { 'train-images-idx3-ubyte': tinyImages(1, 2) });
    await expect(openDataset(folder.path)).rejects.toThrow(
      /several data sets; name one: .* or .*train-images/,
    );
  });
});

describe('a folder per class', () => {
  it('has the classes of its sub-folders, or those that are given', async () => {
    await using folder = await temporaryFolder();
    const root = join(folder.path, 'set');
    await plant(folder.path, {
      'set/ankle_boot/b.PNG': 30,
      'set/ankle_boot/a.png': 20,
      'set/ankle_boot/notes.txt': '',
      'elsewhere/c.png': 90,
    });
    await symlink(join(folder.path, 'elsewhere'), join(root, 't-shirt-top'));
    const own = await openDataset(root, GREY);
    expect(own).toMatchObject({ name: 'set', count: 3, labels: ['ankle_boot', 't-shirt-top'] });
    expect(await contentOf(own)).toEqual([
      [0, 20],
      [0, 30],
      [1, 90],
    ]);
    const given = await openDataset(root, { ...GREY, labels: LABELS });
    expect((await contentOf(given)).map(([label]) => label)).toEqual([2, 2, 0]);
    expect([own.labelOrder, given.labelOrder]).toEqual(['guessed', 'given']);
    expect(given.digest).not.toBe(own.digest);
  });

  it('may be named by the indices of its classes', async () => {
    await using folder = await temporaryFolder();
    await plant(folder.path, { '2/a.png': 20, '0/a.png': 10, '10/a.png': 90 });
    const numbered = await openDataset(folder.path, GREY);
    expect(numbered).toMatchObject({ labelOrder: 'numbers' });
    expect(numbered.labels).toBeUndefined();
    expect((await contentOf(numbered)).map(([label]) => label)).toEqual([0, 10, 2]);
    await rm(join(folder.path, '10'), { recursive: true });
    const named = await openDataset(folder.path, { ...GREY, labels: LABELS });
    expect((await contentOf(named)).map(([label]) => label)).toEqual([0, 2]);
  });

  it('gives so many images of many classes, and reads no others', async () => {
    await using folder = await temporaryFolder();
    const names = Array.from({ length: 60 }, (_, index) => `${index < 30 ? 'a' : 'b'}/${index}.png`);
    await plant(folder.path, Object.fromEntries(names.map((name) => [name, 1])));
    const part = await openDataset(folder.path, { ...GREY, count: 10 });
    expect(part.count).toBe(10);
    expect(new Set((await contentOf(part)).map(([label]) => label))).toEqual(new Set([0, 1]));
    const listed = [...names].sort();
    const taken = spread(listed, 10);
    for (const name of names.filter((each) => !taken.includes(each))) {
      await rm(join(folder.path, name));
      await symlink('nowhere', join(folder.path, name));
    }
    expect((await openDataset(folder.path, { ...GREY, count: 10 })).digest).toBe(part.digest);
    await expect(openDataset(folder.path, GREY)).rejects.toThrow(/cannot be read/);
  });

  it('needs no classes where they do not matter', async () => {
    await using folder = await temporaryFolder();
    await plant(folder.path, {
      'set/x.png': 7,
      'set/a/1.png': 1,
      'set/b/2.png': 2,
      'set.csv': 'set/x.png\n',
    });
    const options = { ...GREY, unlabelled: true };
    const files = await openDataset(join(folder.path, 'set'), options);
    expect(await contentOf(files)).toEqual([
      [0, 7],
      [0, 1],
      [0, 2],
    ]);
    expect(files.labelOrder).toBeUndefined();
    expect(await contentOf(await openDataset(join(folder.path, 'set.csv'), options))).toEqual([[0, 7]]);
  });

  it('is identified by what the images are, not by where they lie', async () => {
    await using folder = await temporaryFolder();
    await plant(folder.path, { 'one/a/1.png': 1, 'two/a/2.png': 1, 'three/a/1.png': 3 });
    const digests = ['one', 'two', 'three'].map(
      async (name) => (await openDataset(join(folder.path, name), GREY)).digest,
    );
    const [one, two, three] = await Promise.all(digests);
    expect(two).toBe(one);
    expect(three).not.toBe(one);
    const cropped = await openDataset(join(folder.path, 'one'), { ...GREY, crop: 0.5 });
    expect(cropped.digest).not.toBe(one);
  });

  it('may be cropped from the middle instead of stretched', async () => {
    await using folder = await temporaryFolder();
    // Left and right quarter white, the square in the middle black.
    const pixels = Buffer.from(
      Array.from({ length: 8 * 4 }, (_, at) => (at % 8 < 2 || at % 8 > 5 ? 255 : 0)),
    );
    await mkdir(join(folder.path, 'a'));
    const raw = { width: 8, height: 4, channels: 1 } as const;
    await sharp(pixels, { raw })
      .toColourspace('b-w')
      .png()
      .toFile(join(folder.path, 'a', '1.png'));
    const shape = [4, 4, 1] as const;
    const cropped = await openDataset(folder.path, { shape, crop: 1 });
    expect([...(await cropped.image(0))]).toEqual(Array(16).fill(0));
    const [corner] = await (await openDataset(folder.path, { shape })).image(0);
    expect(corner).toBeGreaterThan(200);
    const smaller = await openDataset(folder.path, { shape: [2, 2, 1], crop: 0.5 });
    expect([...(await smaller.image(0))]).toEqual(Array(4).fill(0));
  });

  it('decodes an image when it is asked for', async () => {
    await using folder = await temporaryFolder();
    await plant(folder.path, { 'a/1.png': 'this is no image', 'a/2.png': 5 });
    const dataset = await openDataset(folder.path, GREY);
    await expect(dataset.image(0)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/a\/1\.png: cannot be decoded/),
    });
    expect((await dataset.image(1))[0]).toBe(5);
  });

  const refused: [string, Record<string, string>, DatasetOptions, RegExp][] = [
    ['no image', { 'a/notes.txt': '' }, GREY, /there is no image in it or its sub-folders/],
    ['an image in no class', { 'x.png': '' }, GREY, /x\.png: lies in no class; expected a sub-folder/],
    [
      'an unknown class',
      { 'hat/x.png': '' },
      { ...GREY, labels: LABELS },
      /hat: is named after none of the 3 classes/,
    ],
    [
      'an index beyond the classes',
      { '3/x.png': '' },
      { ...GREY, labels: LABELS },
      /3: is named after none of the 3 classes/,
    ],
    ['no shape', { 'a/x.png': '' }, {}, /need a size .* --frame HxW/],
    ['a crop beyond the image', { 'a/x.png': '' }, { ...GREY, crop: 1.5 }, /crop: 1\.5, expected/],
  ];

  it.each(refused)('is refused for %s', async (_case, files, options, message) => {
    await using folder = await temporaryFolder();
    await plant(folder.path, files);
    await expect(openDataset(folder.path, options)).rejects.toThrow(message);
  });
});

describe('a CSV file', () => {
  it('names images beside it, with labels as names or indices, with a header or without', async () => {
    await using folder = await temporaryFolder();
    await plant(folder.path, {
      'img/a.png': 10,
      'img/b, c.png': 20,
      'names.csv': '\ufefffile,label\nimg/a.png,Ankle boot\n\n"img/b, c.png", t-shirt-top\n',
      'indices.csv': 'img/a.png,2\r\n"img/b, c.png",0\r\n',
    });
    const expected = [
      [2, 10],
      [0, 20],
    ];
    for (const name of ['names.csv', 'indices.csv']) {
      const given = await openDataset(join(folder.path, name), { ...GREY, labels: LABELS });
      expect(await contentOf(given)).toEqual(expected);
    }
    const indices = await openDataset(join(folder.path, 'indices.csv'), GREY);
    expect(await contentOf(indices)).toEqual(expected);
    expect(indices.labels).toBeUndefined();
    const names = await openDataset(join(folder.path, 'names.csv'), GREY);
    expect(names.labels).toEqual(['Ankle boot', 't-shirt-top']);
    expect([indices.labelOrder, names.labelOrder]).toEqual(['numbers', 'guessed']);
  });

  const refused: [string, string, RegExp][] = [
    ['a label out of range', 'a.png,0\na.png,3', /set\.csv:2: label "3", expected 0 to 2 or a name of them/],
    ['an unknown name', 'file,label\na.png,Hat', /set\.csv:2: label "Hat", expected/],
    ['a missing file', 'a.png,0\nb.png,1', /set\.csv:2: .*b\.png: cannot be read/],
    ['a line without a label', 'a.png,0\n\na.png', /set\.csv:3: "a\.png", expected file,label/],
    ['a line with more', 'a.png,0,1', /set\.csv:1: "a\.png,0,1", expected file,label/],
    ['nothing in it', 'file,label\n', /set\.csv: names no image/],
    ['a quote that does not end', '"a.png,0\n', /set\.csv: cannot be read as CSV: Quote Not Closed/],
    ['an endless line', 'a'.repeat(20_000), /set\.csv: cannot be read as CSV: Max Record Size/],
  ];

  it.each(refused)('is refused for %s', async (_case, text, message) => {
    await using folder = await temporaryFolder();
    await plant(folder.path, { 'a.png': 1, 'set.csv': text });
    const opening = openDataset(join(folder.path, 'set.csv'), { ...GREY, labels: LABELS });
    await expect(opening).rejects.toThrow(message);
  });
});

it('something else is refused with what is taken', async () => {
  for (const spec of ['/nowhere', '/nowhere.csv', import.meta.filename, 'idx:', 'a,b,c']) {
    await expect(openDataset(spec)).rejects.toThrow(/expected IMAGES,LABELS in IDX/);
  }
});

describe('a part of a data set', () => {
  const open = async () => await openDataset(`${BUNDLED_IMAGES},${BUNDLED_LABELS}`);

  it('holds the images that are named, in their order', async () => {
    const dataset = await open();
    const part = subset(dataset, [7, 0]);
    expect(part.count).toBe(2);
    expect([part.label(0), part.label(1)]).toEqual([dataset.label(7), dataset.label(0)]);
    expect(await part.image(0)).toEqual(await dataset.image(7));
    expect(part.digest).not.toBe(subset(dataset, [0, 7]).digest);
    expect(() => part.label(2)).toThrow('image 2 of 2');
  });

  it('of a count holds the first ones, of a seed always the same ones, more with a larger count', async () => {
    const dataset = await open();
    const three = await openDataset(`${BUNDLED_IMAGES},${BUNDLED_LABELS}`, { count: 3 });
    expect(three.digest).toBe(subset(dataset, [0, 1, 2]).digest);
    expect(subset(dataset, { count: 3 }).digest).toBe(three.digest);
    const seeded = (count: number, seed: number) => subset(dataset, { count, seed });
    expect(seeded(50, 1).digest).toBe(seeded(50, 1).digest);
    expect(seeded(50, 1).digest).not.toBe(seeded(50, 2).digest);
    const pixelsOf = async (part: Dataset) =>
      await Promise.all(
        Array.from({ length: part.count }, async (_, index) => (await part.image(index)).byteOffset),
      );
    const more = new Set(await pixelsOf(seeded(80, 1)));
    expect((await pixelsOf(seeded(50, 1))).every((place) => more.has(place))).toBe(true);
  });

  it('is refused when it is empty or asks for more than there is', async () => {
    const dataset = await open();
    for (const of of [[], [10_000], [-1], [0.5], { count: 0 }, { count: 10_001, seed: 1 }]) {
      expect(() => subset(dataset, of)).toThrow(/images asked for|there is no image|without an image/);
    }
  });
});
