import { Readable } from 'node:stream';
import { AppError } from '../../../shared/errors.ts';
import { type ExportPage, type ExportQuestion, exportEnd } from '../../history/read/export.ts';
import type { ApiContext, Server } from '../context.ts';
import { type ExportQuery, ExportQuerySchema } from '../history-schemas.ts';
import { idsOf } from '../views.ts';

/** Exports at once, at most: each holds a page, and keeps the history busy. */
const MAX_EXPORTS = 4;
/** Rows of a page, about. */
const PAGE_ROWS = 2_000;
/** What the end of a Parquet file says of a row group is held until then. */
const MAX_ROW_GROUPS = 5_000;

const TYPES = {
  parquet: 'application/vnd.apache.parquet',
  csv: 'text/csv; charset=utf-8',
} as const satisfies Record<ExportQuery['format'], string>;

/** The history as a file, sent while it is read, as fast as the client takes it. */
export function addExportRoute(server: Server, context: ApiContext): void {
  let exports = 0;
  server.get(
    '/v1/telemetry/export',
    {
      schema: {
        tags: ['history'],
        summary: 'Export windows, operating points or events as a Parquet or CSV file',
        querystring: ExportQuerySchema,
      },
    },
    async ({ query }, reply) => {
      const { since, until = context.clock.now(), table, format } = query;
      if (until < since) throw new AppError('usage', `until (${until}) lies before since (${since})`);
      const question = { ...query, until, devices: idsOf(query, context), rows: PAGE_ROWS };
      if (exports >= MAX_EXPORTS) {
        throw new AppError('conflict', `${MAX_EXPORTS} exports run already; wait for one of them`);
      }
      exports += 1;
      const file = Readable.from(bytesOf(question, context), { objectMode: false });
      file.once('close', () => {
        exports -= 1;
      });
      const name = `attachment; filename="ofa-fleet-${table}.${format}"`;
      return reply.type(TYPES[format]).header('content-disposition', name).send(file);
    },
  );
}

type Question = Omit<ExportQuestion, 'cursor' | 'offset'>;

async function* bytesOf(question: Question, { history }: ApiContext): AsyncGenerator<Uint8Array> {
  const groups: NonNullable<ExportPage['group']>[] = [];
  let offset = 0;
  let cursor: ExportQuestion['cursor'];
  do {
    const page = await history.exportPage({ ...question, cursor, offset });
    if (page.bytes.length > 0) yield page.bytes;
    offset += page.bytes.length;
    if (page.group !== undefined) groups.push(page.group);
    cursor = page.next;
    if (groups.length > MAX_ROW_GROUPS) {
      throw new AppError(
        'usage',
        `the export has more than ${MAX_ROW_GROUPS * PAGE_ROWS} rows; ask for less`,
      );
    }
  } while (cursor !== undefined);
  const end = exportEnd(question, groups, offset);
  if (end.length > 0) yield end;
}
