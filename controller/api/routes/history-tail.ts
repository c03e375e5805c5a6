import { Readable } from 'node:stream';
import { AppError } from '../../../shared/errors.ts';
import type { TailCursor } from '../../history/read/tail.ts';
import type { ApiContext, Server } from '../context.ts';
import { type TailContent, TailQuerySchema } from '../history-schemas.ts';
import { idsOf, type Target } from '../views.ts';

/** Clients that follow at once, at most. */
const MAX_TAILS = 32;
/** How often the history is asked for what is new, */
const POLL_MS = 250;
/** and how often a line is sent at least, so that both ends see that the other one is there. */
const HEARTBEAT_MS = 10_000;
/** A client that has taken nothing for so long is cut off. */
const STUCK_MS = 30_000;
const PAGE_LINES = 500;

type Tail = Target & { readonly what: TailContent };

/** What comes in, as it comes in: lines of JSON, until the client goes. */
export function addTailRoute(server: Server, context: ApiContext): void {
  let tails = 0;
  server.get(
    '/v1/telemetry/tail',
    { schema: { tags: ['history'], summary: 'Follow windows and events', querystring: TailQuerySchema } },
    (request, reply) => {
      // What cannot be followed is refused before anything is sent.
      idsOf(request.query, context);
      if (tails >= MAX_TAILS) {
        throw new AppError('conflict', `${MAX_TAILS} clients follow already; end one of them first`);
      }
      tails += 1;
      const gone = new AbortController();
      // The client is read from only as fast as it takes: memory holds one page of each.
      const lines = Readable.from(linesOf(request.query, context, gone.signal), { objectMode: false });
      lines.once('close', () => {
        tails -= 1;
        gone.abort();
      });
      const { socket } = request.raw;
      socket.setTimeout(STUCK_MS, () => socket.destroy());
      return reply.type('application/x-ndjson; charset=utf-8').send(lines);
    },
  );
}

async function* linesOf(tail: Tail, context: ApiContext, gone: AbortSignal): AsyncGenerator<Buffer> {
  const { history, clock } = context;
  let cursor: TailCursor | undefined;
  let sentMs = Number.NEGATIVE_INFINITY;
  while (!gone.aborted) {
    // Who is in a group may change meanwhile.
    const devices = idsOf(tail, context);
    const page = await history.tail({ devices, what: tail.what, after: cursor, limit: PAGE_LINES });
    cursor = page.cursor;
    const text = page.lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    if (text !== '' || clock.monoMs() - sentMs >= HEARTBEAT_MS) {
      yield Buffer.from(text === '' ? '\n' : text);
      sentMs = clock.monoMs();
    }
    if (!page.isMore) await clock.sleep(POLL_MS, gone).catch(() => undefined);
  }
}
