import { join } from 'node:path';
import { invariant } from '../../shared/errors.ts';
import { decodeImage } from '../../shared/images/decode.ts';
import { labelFinder, listImageFolder, noImageIn } from '../../shared/images/folder.ts';
import type { Frame, FrameShape, FrameSource } from './source.ts';

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
  const { images, folders } = await listImageFolder(folder);
  const files: ImageFile[] = images.map((name) => ({ name, label: undefined }));
  const findLabel = labelFinder(labels);
  for (const subFolder of folders) {
    const index = findLabel(subFolder);
    const label = index < 0 ? undefined : index;
    const found = await listImageFolder(join(folder, subFolder));
    files.push(...found.images.map((name) => ({ name: join(subFolder, name), label })));
  }
  if (files.length === 0) throw noImageIn(folder);
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return new FolderSource(files, { ...options, offset });
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

  position(): number {
    return this.#next;
  }

  seek(position: number): void {
    const count = this.#files.length;
    this.#next = ((position % count) + count) % count;
  }

  async close(): Promise<void> {}
}
