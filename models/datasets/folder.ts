import { basename, join, resolve } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { labelFinder, listImageFolder, noImageIn } from '../../shared/images/folder.ts';
import type { DatasetOptions } from './dataset.ts';
import type { FileList, LabelledFile } from './files.ts';

/**
 * Lists a folder with a sub-folder per class. The classes are those of `labels`, by their names as they may
 * stand in a file system (`ankle_boot` for `Ankle boot`); without labels the sub-folders in the order of
 * their names.
 * @throws AppError `config` when there is no image, an image outside of the sub-folders, or a sub-folder
 * that is named after no class
 */
export async function listClassFolder(folder: string, options: DatasetOptions): Promise<FileList> {
  const { images, folders } = await listImageFolder(folder);
  const [loose] = images;
  if (loose !== undefined) {
    throw new AppError(
      'config',
      `${join(folder, loose)}: lies in no class; expected a sub-folder per class with its images`,
    );
  }
  const labels = options.labels ?? folders;
  const files: LabelledFile[] = [];
  const findLabel = labelFinder(labels);
  for (const [index, subFolder] of folders.entries()) {
    const label = options.labels === undefined ? index : findLabel(subFolder);
    if (label < 0) {
      throw new AppError(
        'config',
        `${join(folder, subFolder)}: is named after none of the ${labels.length} classes (${shortList(labels)})`,
      );
    }
    const found = await listImageFolder(join(folder, subFolder));
    for (const name of found.images) {
      const path = join(folder, subFolder, name);
      files.push({ path, label, what: path });
    }
  }
  if (files.length === 0) throw noImageIn(folder);
  return { name: basename(resolve(folder)), files, labels };
}

/** The first few of many names. */
export function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown}, ...` : shown;
}
