import { queryTelemetry } from '../../history/query.ts';
import type { ApiContext, Server } from '../context.ts';
import {
  EventListSchema,
  EventQuerySchema,
  TelemetryAnswerSchema,
  TelemetryQuerySchema,
} from '../schemas.ts';
import { idsOf } from '../views.ts';

/** The history: telemetry in buckets, and events. */
export function addHistoryRoutes(server: Server, context: ApiContext): void {
  const { history, clock } = context;
  server.get(
    '/v1/telemetry/query',
    {
      schema: {
        tags: ['history'],
        summary: 'Aggregate a metric over devices and time',
        querystring: TelemetryQuerySchema,
        response: { 200: TelemetryAnswerSchema },
      },
    },
    ({ query }) =>
      queryTelemetry(query, idsOf(query, context), {
        windows: history.windows,
        giveWay: () => clock.sleep(0),
        now: () => clock.now(),
      }),
  );
  server.get(
    '/v1/events',
    {
      schema: {
        tags: ['history'],
        summary: 'List events, newest first',
        querystring: EventQuerySchema,
        response: { 200: EventListSchema },
      },
    },
    ({ query }) => {
      const { kind, since = 0, until = Number.MAX_SAFE_INTEGER, limit } = query;
      return { events: history.events.list({ devices: idsOf(query, context), kind, since, until, limit }) };
    },
  );
}
