import { basename, join, resolve } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { labelFinder, listImageFolder, noImageIn } from '../../shared/images/folder.ts';
import type { DatasetOptions, LabelOrder } from './dataset.ts';
import type { FileList, LabelledFile } from './files.ts';

const INDEX = /^\d{1,6}$/;

/**
 * Lists a folder with a sub-folder per class. The classes are those of `labels`, by their names as they may
 * stand in a file system (`ankle_boot` for `Ankle boot`), or by their indices. Without labels sub-folders
 * that are all numbers are named by their classes' indices, others are classes in the order of their names.
 * An `unlabelled` folder may have images beside the sub-folders.
 * @throws AppError `config` when there is no image, an image outside of the sub-folders, or a sub-folder
 * that is named after no class
 */
export async function listClassFolder(folder: string, options: DatasetOptions): Promise<FileList> {
  const { images, folders } = await listImageFolder(folder);
  const unlabelled = options.unlabelled === true;
  const [loose] = images;
  if (loose !== undefined && !unlabelled) {
    throw new AppError(
      'config',
      `${join(folder, loose)}: lies in no class; expected a sub-folder per class with its images`,
    );
  }
  const { labels, labelOrder, labelOf } = unlabelled ? NO_CLASSES : classesOf(folder, folders, options);
  const files = images.map((name) => imageFile(folder, name, 0));
  for (const subFolder of folders) {
    const label = labelOf(subFolder);
    const path = join(folder, subFolder);
    const found = await listImageFolder(path);
    files.push(...found.images.map((name) => imageFile(path, name, label)));
  }
  if (files.length === 0) throw noImageIn(folder);
  return { name: basename(resolve(folder)), files, labels, labelOrder };
}

function imageFile(folder: string, name: string, label: number): LabelledFile {
  const path = join(folder, name);
  return { path, label, what: path };
}

interface Classes {
  readonly labels: readonly string[] | undefined;
  readonly labelOrder: LabelOrder | undefined;
  readonly labelOf: (subFolder: string) => number;
}

const NO_CLASSES: Classes = { labels: undefined, labelOrder: undefined, labelOf: () => 0 };

function classesOf(folder: string, folders: readonly string[], { labels }: DatasetOptions): Classes {
  if (labels !== undefined) return { labels, labelOrder: 'given', labelOf: givenClass(folder, labels) };
  if (folders.every((name) => INDEX.test(name))) {
    return { labels: undefined, labelOrder: 'numbers', labelOf: Number };
  }
  return { labels: folders, labelOrder: 'guessed', labelOf: (subFolder) => folders.indexOf(subFolder) };
}

/** Names first, as in a CSV file: classes may be named by digits that are not their indices. */
function givenClass(folder: string, labels: readonly string[]): (subFolder: string) => number {
  const findLabel = labelFinder(labels);
  return (subFolder) => {
    const named = findLabel(subFolder);
    if (named >= 0) return named;
    if (INDEX.test(subFolder) && Number(subFolder) < labels.length) return Number(subFolder);
    throw new AppError(
      'config',
      `${join(folder, subFolder)}: is named after none of the ${labels.length} classes (${shortList(labels)})`,
    );
  };
}

/** The first few of many names. */
export function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown}, ...` : shown;
}
