import { createReadStream } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parse } from 'csv-parse';
import Type from 'typebox';
import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import { labelFinder } from '../../shared/images/folder.ts';
import { parserOf } from '../../shared/schema.ts';
import type { DatasetOptions, LabelOrder } from './dataset.ts';
import { type FileList, type LabelledFile, MAX_IMAGES } from './files.ts';
import { shortList } from './folder.ts';

/** A longer line is no file name and label. */
const MAX_LINE_CHARACTERS = 16_384;
/** Of a label that is written as a number. */
const MAX_CLASSES = 100_000;
const INDEX = /^\d+$/;

interface Row {
  readonly file: string;
  readonly label: string;
  readonly line: number;
}

/**
 * Lists a CSV file of `file,label`: paths relative to the file itself, labels as indices or names, a header
 * or none. Without given classes labels are indices if all of them are numbers, else the classes are the
 * names that occur, in their order. Where labels do not matter a line may leave its own out.
 * @throws AppError `not-found`, `invalid` naming file and line of what does not fit, `config` when it is
 * empty
 */
export async function listCsv(path: string, options: DatasetOptions): Promise<FileList> {
  const rows = await readRows(path, options.unlabelled === true);
  if (rows.length === 0) throw new AppError('config', `${path}: names no image`);
  const labels = options.unlabelled === true ? undefined : (options.labels ?? namesIn(rows));
  const indexOf = options.unlabelled === true ? () => 0 : indexReader(labels);
  const files = rows.map(({ file, label, line }): LabelledFile => {
    const imagePath = resolve(dirname(path), file);
    const what = `${path}:${line}`;
    return { path: imagePath, label: indexOf(label, what), what: `${what}: ${imagePath}` };
  });
  return { name: basename(path), files, labels, labelOrder: labelOrderOf(labels, options) };
}

function labelOrderOf(
  labels: readonly string[] | undefined,
  options: DatasetOptions,
): LabelOrder | undefined {
  if (options.unlabelled === true) return undefined;
  if (options.labels !== undefined) return 'given';
  return labels === undefined ? 'numbers' : 'guessed';
}

async function readRows(path: string, unlabelled: boolean): Promise<Row[]> {
  const rows: Row[] = [];
  const parser = parse({
    bom: true,
    trim: true,
    skip_empty_lines: true,
    relax_column_count: true,
    info: true,
    max_record_size: MAX_LINE_CHARACTERS,
  });
  const parseRecord = parserOf(
    Type.Object({ record: Type.Array(Type.String()), info: Type.Object({ lines: Type.Number() }) }),
  );
  try {
    await pipeline(createReadStream(path), parser, async (records: AsyncIterable<unknown>) => {
      for await (const value of records) {
        const { record, info } = parseRecord(value, path);
        if (rows.length === 0 && isHeader(record)) continue;
        rows.push(rowOf(record, info.lines, path, unlabelled));
        if (rows.length > MAX_IMAGES) throw new AppError('config', `${path}: more than ${MAX_IMAGES} images`);
      }
    });
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    if (isSystemError(cause, 'ENOENT'))
      throw new AppError('not-found', `${path}: there is no such file`, { cause });
    throw new AppError('invalid', `${path}: cannot be read as CSV: ${describeError(cause)}`, { cause });
  }
  return rows;
}

function isHeader([file = '', label = 'label']: readonly string[]): boolean {
  return /^(file|filename|path|image)$/i.test(file) && /^(label|class)$/i.test(label);
}

function rowOf(record: readonly string[], line: number, path: string, unlabelled: boolean): Row {
  const [file = '', label = ''] = record;
  const complete = unlabelled ? record.length <= 2 : record.length === 2 && label !== '';
  if (!complete || file === '') {
    throw new AppError('invalid', `${path}:${line}: "${record.join(',')}", expected file,label`);
  }
  return { file, label, line };
}

function namesIn(rows: readonly Row[]): readonly string[] | undefined {
  if (rows.every(({ label }) => INDEX.test(label))) return undefined;
  return [...new Set(rows.map(({ label }) => label))].sort();
}

/** Names first: classes may be named by digits that are not their indices. */
function indexReader(labels: readonly string[] | undefined): (label: string, what: string) => number {
  const findLabel = labelFinder(labels ?? []);
  const classes = labels?.length ?? MAX_CLASSES;
  return (label, what) => {
    const index = findLabel(label) >= 0 || !INDEX.test(label) ? findLabel(label) : Number(label);
    if (index >= 0 && index < classes) return index;
    const names = labels === undefined ? '' : ` or a name of them (${shortList(labels)})`;
    throw new AppError('invalid', `${what}: label "${label}", expected 0 to ${classes - 1}${names}`);
  };
}
