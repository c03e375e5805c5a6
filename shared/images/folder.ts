import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { AppError, describeError } from '../errors.ts';

const IMAGE_EXTENSIONS: readonly string[] = [
  '.png',
  '.jpg',
  '.jpeg',
  '.webp',
  '.gif',
  '.tif',
  '.tiff',
  '.avif',
];

/** What lies directly in a folder of images, each in the order of names. */
export interface ImageFolder {
  readonly images: readonly string[];
  /** Sub-folders, links to folders among them. */
  readonly folders: readonly string[];
}

/**
 * Lists a folder's images, by the endings of their names, and its sub-folders.
 * @throws AppError `config` when it cannot be read
 */
export async function listImageFolder(folder: string): Promise<ImageFolder> {
  const images: string[] = [];
  const folders: string[] = [];
  for (const entry of await entriesOf(folder)) {
    if (await isFolder(folder, entry)) folders.push(entry.name);
    else if (IMAGE_EXTENSIONS.includes(extname(entry.name).toLowerCase())) images.push(entry.name);
  }
  return { images: images.sort(), folders: folders.sort() };
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw new AppError('config', `${folder}: cannot be read as a folder of images: ${describeError(cause)}`, {
      cause,
    });
  }
}

async function isFolder(folder: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const target = await stat(join(folder, entry.name)).catch(() => undefined);
  return target?.isDirectory() === true;
}

/** The error of a folder that has no image where images were looked for. */
export function noImageIn(folder: string): AppError {
  const kinds = IMAGE_EXTENSIONS.join(' ');
  return new AppError('config', `${folder}: there is no image in it or its sub-folders (${kinds})`);
}

/**
 * Makes the search for the label that a folder or an entry names, as `plainLabel` has it.
 * @returns a function that gives the label's index, -1 when no label has that name
 */
export function labelFinder(labels: readonly string[]): (name: string) => number {
  const indices = new Map<string, number>();
  for (const [index, label] of labels.entries()) {
    if (!indices.has(plainLabel(label))) indices.set(plainLabel(label), index);
  }
  return (name) => indices.get(plainLabel(name)) ?? -1;
}

/** A label as it may stand in a file's name: `T-shirt/top` is `t-shirt-top`, `Ankle boot` is `ankle_boot`. */
function plainLabel(name: string): string {
  return name.toLowerCase().replace(/[/\s_-]+/g, '-');
}
