import type { ApiContext, Server } from '../context.ts';
import {
  BackupAnswerSchema,
  GapListSchema,
  GapQuerySchema,
  HistoryStatusSchema,
  IntegrityAnswerSchema,
  TelemetryAnswerSchema,
  TelemetryQuerySchema,
} from '../history-schemas.ts';
import { EventListSchema, EventQuerySchema } from '../schemas.ts';
import { idsOf } from '../views.ts';
import { addExportRoute } from './history-export.ts';
import { addTailRoute } from './history-tail.ts';

const tags = ['history'];

/** The history: telemetry in buckets, gaps, events, live and as a file; and its care. */
export function addHistoryRoutes(server: Server, context: ApiContext): void {
  addQueryRoute(server, context);
  addGapRoute(server, context);
  addEventRoute(server, context);
  addTailRoute(server, context);
  addExportRoute(server, context);
  addCareRoutes(server, context);
}

function addQueryRoute(server: Server, context: ApiContext): void {
  const { history, clock, retention: kept } = context;
  server.get(
    '/v1/telemetry/query',
    {
      schema: {
        tags,
        summary: 'Aggregate a metric over devices and time',
        querystring: TelemetryQuerySchema,
        response: { 200: TelemetryAnswerSchema },
      },
    },
    ({ query }) => {
      const { device: _device, group, selector: _selector, ...question } = query;
      const devices = idsOf(query, context);
      return history.query({ query: question, devices, group, kept, now: clock.now() });
    },
  );
}

function addGapRoute(server: Server, context: ApiContext): void {
  const { history, clock } = context;
  server.get(
    '/v1/telemetry/gaps',
    {
      schema: {
        tags,
        summary: 'List records that were lost or are missing, newest first',
        querystring: GapQuerySchema,
        response: { 200: GapListSchema },
      },
    },
    async ({ query }) => {
      const { since = 0, until = clock.now(), limit } = query;
      return { gaps: await history.gaps({ devices: idsOf(query, context), since, until, limit }) };
    },
  );
}

function addEventRoute(server: Server, context: ApiContext): void {
  const { history } = context;
  server.get(
    '/v1/events',
    {
      schema: {
        tags,
        summary: 'List events, newest first',
        querystring: EventQuerySchema,
        response: { 200: EventListSchema },
      },
    },
    async ({ query }) => {
      const { kind, contains, since = 0, until = Number.MAX_SAFE_INTEGER, limit } = query;
      const range = { devices: idsOf(query, context), kind, contains, since, until, limit };
      return { events: await history.events(range) };
    },
  );
}

function addCareRoutes(server: Server, { history, backup }: ApiContext): void {
  server.get(
    '/v1/history/status',
    { schema: { tags, summary: 'How large the history is', response: { 200: HistoryStatusSchema } } },
    () => history.stats(),
  );
  server.get(
    '/v1/history/integrity',
    {
      schema: {
        tags,
        summary: 'Look through the whole history for damage',
        response: { 200: IntegrityAnswerSchema },
      },
    },
    async () => {
      const { ok, problems } = await history.integrity();
      return { ok, problems: [...problems] };
    },
  );
  server.post(
    '/v1/history/backup',
    {
      schema: {
        tags,
        summary: "Back up fleet and history, on the controller's machine",
        response: { 200: BackupAnswerSchema },
      },
    },
    () => backup(),
  );
}
