import { text } from 'node:stream/consumers';
import type { Static } from 'typebox';
import type { AlertList, AlertQuery, AlertRow } from '../api/alert-schemas.ts';
import type {
  BackupAnswer,
  ExportQuery,
  GapListSchema,
  GapQuerySchema,
  GapRow,
  HistoryStatus,
  IntegrityAnswer,
  TailQuerySchema,
  TelemetryAnswer,
  TelemetryQuery,
} from '../api/history-schemas.ts';
import type { EventListSchema, EventQuerySchema, EventRow } from '../api/schemas.ts';
import type { Client } from './client.ts';
import type { Body, Streams } from './stream.ts';

/** What the controller's API tells of the past, as the commands call it. */
export interface HistoryApi {
  telemetry(query: TelemetryQuery): Promise<TelemetryAnswer>;
  gaps(query: Static<typeof GapQuerySchema>): Promise<GapRow[]>;
  /** Lines of JSON, until `signal` ends them. */
  tail(query: Static<typeof TailQuerySchema>, signal: AbortSignal): Promise<Body>;
  /** The bytes of a file; what is not read of them, `signal` ends. */
  exported(query: ExportQuery, signal: AbortSignal): Promise<Body>;
  events(query: Static<typeof EventQuerySchema>): Promise<EventRow[]>;
  alerts(query: AlertQuery): Promise<AlertRow[]>;
  historyStatus(): Promise<HistoryStatus>;
  integrity(): Promise<IntegrityAnswer>;
  backup(): Promise<BackupAnswer>;
}

/** A page of an export is read in much less, unless the history is being checked meanwhile. */
const EXPORT_SILENCE_MS = 600_000;
/** All of the history is read: gigabytes from a slow disk. */
const WHOLE_HISTORY_MS = 3_600_000;

/** Every path of the API that is about the past, in one place. */
export function historyCalls(client: Client, streams: Streams): HistoryApi {
  return { ...telemetryCalls(client, streams), ...eventCalls(client), ...keepingCalls(client, streams) };
}

function telemetryCalls(
  client: Client,
  streams: Streams,
): Pick<HistoryApi, 'telemetry' | 'gaps' | 'tail' | 'exported'> {
  return {
    telemetry: (query) => client({ method: 'GET', path: '/v1/telemetry/query', query }),
    gaps: async (query) => {
      const path = '/v1/telemetry/gaps';
      return (await client<Static<typeof GapListSchema>>({ method: 'GET', path, query })).gaps;
    },
    tail: (query, signal) => streams({ method: 'GET', path: '/v1/telemetry/tail', query, signal }),
    exported: (query, signal) =>
      streams({
        ...{ method: 'GET', path: '/v1/telemetry/export', query, signal },
        silenceMs: EXPORT_SILENCE_MS,
      }),
  };
}

function eventCalls(client: Client): Pick<HistoryApi, 'events' | 'alerts'> {
  return {
    events: async (query) => {
      const path = '/v1/events';
      return (await client<Static<typeof EventListSchema>>({ method: 'GET', path, query })).events;
    },
    alerts: async (query) => (await client<AlertList>({ method: 'GET', path: '/v1/alerts', query })).alerts,
  };
}

function keepingCalls(
  client: Client,
  streams: Streams,
): Pick<HistoryApi, 'historyStatus' | 'integrity' | 'backup'> {
  const slowly = async <T>(request: Pick<Parameters<Streams>[0], 'method' | 'path' | 'body'>) => {
    const answer = await streams({
      ...request,
      timeoutMs: WHOLE_HISTORY_MS,
      silenceMs: EXPORT_SILENCE_MS,
    });
    return JSON.parse(await text(answer)) as T;
  };
  return {
    historyStatus: () => client({ method: 'GET', path: '/v1/history/status' }),
    integrity: () => slowly({ method: 'GET', path: '/v1/history/integrity' }),
    backup: () => slowly({ method: 'POST', path: '/v1/history/backup', body: {} }),
  };
}
