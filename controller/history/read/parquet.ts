import { ByteWriter, type ColumnSource, ParquetWriter, schemaFromColumnData } from 'hyparquet-writer';

/** What a value of a column is: text, a number, a whole number, a time in milliseconds, or yes and no. */
export type ColumnType = 'text' | 'number' | 'count' | 'time' | 'flag';
export type Cell = string | number | boolean | undefined;

export interface TypedColumn {
  readonly name: string;
  readonly type: ColumnType;
}

/** What the end of the file has to say about a row group. It can be sent to another thread. */
export type RowGroup = ParquetWriter['row_groups'][number];

const PARQUET_TYPES = {
  text: 'STRING',
  number: 'DOUBLE',
  count: 'INT64',
  time: 'TIMESTAMP',
  flag: 'BOOLEAN',
} as const satisfies Record<ColumnType, ColumnSource['type']>;

const MAGIC_BYTES = 4;

/**
 * Encodes rows as one row group of a Parquet file, without the groups before it: a file is made page by page
 * by whoever keeps what this returns.
 * @param rows values in the order of the columns; at least one row
 * @param offset bytes of the file before this group; 0: the file begins with it
 */
export function encodeRowGroup(
  columns: readonly TypedColumn[],
  rows: readonly (readonly Cell[])[],
  offset: number,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly group: RowGroup } {
  const { writer, parquet } = writerAt(columns, offset);
  const columnData = columns.map(({ name, type }, index) => ({
    name,
    data: rows.map((row) => parquetValue(row[index], type)),
    offsetIndex: false,
  }));
  void parquet.write({ columnData, rowGroupSize: rows.length });
  const [group] = parquet.row_groups;
  if (group === undefined) throw new Error('a row group was written');
  return { bytes: written(writer, offset), group };
}

/** The end of a Parquet file: its schema and where its row groups lie. `offset` as for `encodeRowGroup`. */
export function encodeEnd(
  columns: readonly TypedColumn[],
  groups: readonly RowGroup[],
  offset: number,
): Uint8Array<ArrayBuffer> {
  const { writer, parquet } = writerAt(columns, offset);
  parquet.row_groups = [...groups];
  parquet.num_rows = groups.reduce((sum, { num_rows }) => sum + num_rows, 0n);
  void parquet.finish();
  return written(writer, offset);
}

/** A writer that believes that the bytes before `offset` are written; it begins with the file's first bytes. */
function writerAt(columns: readonly TypedColumn[], offset: number) {
  const writer = new ByteWriter(64 * 1024);
  writer.offset = offset === 0 ? 0 : offset - MAGIC_BYTES;
  const columnData = columns.map(({ name, type }) => ({ name, data: [], type: PARQUET_TYPES[type] }));
  const parquet = new ParquetWriter({
    writer,
    schema: schemaFromColumnData({ columnData }),
    createdBy: 'ofa-fleet',
  });
  return { writer, parquet };
}

/** What was written, without the first bytes of a file where it does not begin here. */
function written(writer: ByteWriter, offset: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(writer.getBuffer()).slice(offset === 0 ? 0 : MAGIC_BYTES);
}

function parquetValue(cell: Cell, type: ColumnType): Cell | bigint | Date | null {
  if (cell === undefined) return null;
  if (type === 'count') return BigInt(Math.round(Number(cell)));
  if (type === 'time') return new Date(Number(cell));
  return cell;
}
