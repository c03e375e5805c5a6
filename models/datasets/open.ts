import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { readWhole } from '../../shared/files.ts';
import { listCsv } from './csv.ts';
import type { Dataset, DatasetOptions } from './dataset.ts';
import { datasetOfFiles } from './files.ts';
import { listClassFolder } from './folder.ts';
import { findIdxPair, openIdxDataset } from './idx.ts';
import { parseLabels } from './labels.ts';

const IDX_PREFIX = 'idx:';
const LABELS_FILE = 'labels.txt';
const MAX_LABELS_BYTES = 16 * 1024 * 1024;

/**
 * Opens labelled images by what names them:
 *  - `IMAGES,LABELS`: a pair of IDX files (also with `idx:` before it, as the agent takes it);
 *  - a folder with one pair of IDX files, and the classes' names in `labels.txt`, if there are any;
 *  - a folder with a sub-folder of images per class, or `unlabelled` any folder of images;
 *  - a file `*.csv` of `file,label`.
 * @throws AppError `not-found`, `config` or `invalid` naming the file, what was expected and found
 */
export async function openDataset(spec: string, options: DatasetOptions = {}): Promise<Dataset> {
  const kind = spec.startsWith(IDX_PREFIX) ? 'none' : await kindOf(spec);
  if (kind === 'folder') {
    const pair = await findIdxPair(spec);
    if (pair !== undefined) return await openIdxDataset(pair, await withLabels(spec, options));
    return await datasetOfFiles(await listClassFolder(spec, options), options);
  }
  if (kind === 'file') {
    if (/\.csv$/i.test(spec)) return await datasetOfFiles(await listCsv(spec, options), options);
    throw new AppError('config', `${spec}: ${expected('is one file')}`);
  }
  const [imagesPath = '', labelsPath = '', ...rest] = spec.replace(IDX_PREFIX, '').split(',');
  if (imagesPath !== '' && labelsPath !== '' && rest.length === 0) {
    return await openIdxDataset({ imagesPath, labelsPath }, options);
  }
  throw new AppError('not-found', `${spec}: ${expected('there is no such file or folder')}`);
}

/** IDX files have numbers only: their classes' names may lie beside them, one a line. */
async function withLabels(folder: string, options: DatasetOptions): Promise<DatasetOptions> {
  const path = join(folder, LABELS_FILE);
  if (options.labels !== undefined || (await kindOf(path)) !== 'file') return options;
  return {
    ...options,
    labels: parseLabels(new TextDecoder().decode(await readWhole(path, MAX_LABELS_BYTES)), path),
  };
}

function expected(found: string): string {
  return `${found}; expected IMAGES,LABELS in IDX, a folder of them, a folder with a sub-folder per class, or a .csv of file,label`;
}

async function kindOf(path: string): Promise<'folder' | 'file' | 'none'> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return 'none';
  return found.isDirectory() ? 'folder' : 'file';
}
