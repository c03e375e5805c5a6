import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { AppError, describeError, invariant } from '../../shared/errors.ts';
import { decodeImage } from './decode.ts';
import type { Frame, FrameShape, FrameSource } from './source.ts';

const IMAGE_EXTENSIONS = new Set(['.png', '.jpg', '.jpeg', '.webp', '.gif', '.tif', '.tiff', '.avif']);

export interface FolderSourceOptions {
  readonly folder: string;
  readonly shape: FrameShape;
  /** The family's labels; a sub-folder named like one holds images of that class. */
  readonly labels: readonly string[];
  /** The image to begin with, default 0. */
  readonly offset?: number;
}

interface ImageFile {
  /** Relative to the folder. */
  readonly name: string;
  readonly label: number | undefined;
}

/**
 * Opens a folder of images, its own and those of its sub-folders, in the order of their names. Images are
 * decoded when their turn comes; the list is read once.
 * @throws AppError `config` when there is no such folder or no image in it
 */
export async function openFolderSource(options: FolderSourceOptions): Promise<FrameSource> {
  const { folder, labels, offset = 0 } = options;
  const files: ImageFile[] = [];
  for (const entry of await list(folder)) {
    if (isImage(entry)) files.push({ name: entry.name, label: undefined });
    if (!entry.isDirectory()) continue;
    const label = labelOf(entry.name, labels);
    const images = (await list(join(folder, entry.name))).filter(isImage);
    files.push(...images.map(({ name }) => ({ name: join(entry.name, name), label })));
  }
  if (files.length === 0) {
    const kinds = [...IMAGE_EXTENSIONS].join(' ');
    throw new AppError('config', `${folder}: there is no image in it or its sub-folders (${kinds})`);
  }
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return new FolderSource(files, { ...options, offset });
}

async function list(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw new AppError('config', `${folder}: cannot be read as a folder of images: ${describeError(cause)}`, {
      cause,
    });
  }
}

function isImage(entry: Dirent): boolean {
  return !entry.isDirectory() && IMAGE_EXTENSIONS.has(extname(entry.name).toLowerCase());
}

function labelOf(folderName: string, labels: readonly string[]): number | undefined {
  const index = labels.findIndex((label) => plain(label) === plain(folderName));
  return index < 0 ? undefined : index;
}

/** A label as it may stand in a file's name: `T-shirt/top` is `t-shirt-top`, `Ankle boot` is `ankle_boot`. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[/\s_-]+/g, '-');
}

class FolderSource implements FrameSource {
  readonly name: string;
  readonly #files: readonly ImageFile[];
  readonly #shape: FrameShape;
  #next: number;

  constructor(
    files: readonly ImageFile[],
    { folder, shape, offset }: FolderSourceOptions & { offset: number },
  ) {
    invariant(Number.isSafeInteger(offset) && offset >= 0, 'an offset counts images');
    this.name = folder;
    this.#files = files;
    this.#shape = shape;
    this.#next = offset % files.length;
  }

  async next(): Promise<Frame> {
    const file = this.#files[this.#next];
    invariant(file !== undefined, 'the folder has an image at every index');
    // Before decoding: an image that cannot be read must not be the next one again.
    this.#next = (this.#next + 1) % this.#files.length;
    const path = join(this.name, file.name);
    const pixels = await decodeImage(path, this.#shape, path);
    return { pixels, name: file.name, ...(file.label === undefined ? {} : { label: file.label }) };
  }

  async close(): Promise<void> {}
}
