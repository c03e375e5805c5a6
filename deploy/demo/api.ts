import Type, { type Static } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import {
  OperatingPointSchema,
  ProfileInfoSchema,
  type ReportedPoint,
} from '../../shared/protocol/reported.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import { parserOf } from '../../shared/schema.ts';

const Nullable = Type.Union([Type.Number(), Type.Null()]);

/** The part of the API's device that the demonstration shows. */
const DevicesSchema = Type.Object({
  devices: Type.Array(
    Type.Object({
      id: Type.String(),
      online: Type.Boolean(),
      latest: Type.Optional(
        Type.Object({
          durationMs: Type.Number(),
          inferences: Type.Number(),
          misses: Type.Number(),
          level: Nullable,
          latencyMeanMs: Nullable,
          latencyP95Ms: Nullable,
          accuracy: Nullable,
          requirement: Type.Object({
            latencyMs: Type.Optional(Type.Number()),
            accuracyFloor: Type.Optional(Type.Number()),
          }),
        }),
      ),
    }),
  ),
});
export type ShownDevice = Static<typeof DevicesSchema>['devices'][number];

const DetailSchema = Type.Object({
  reported: Type.Optional(
    Type.Object({
      operatingPoints: Type.Array(OperatingPointSchema),
      profile: Type.Optional(ProfileInfoSchema),
    }),
  ),
});

const EventsSchema = Type.Object({
  events: Type.Array(
    Type.Object({
      device: Type.String(),
      ts: Type.Number(),
      kind: Type.String(),
      body: Type.Record(Type.String(), Type.Unknown()),
    }),
  ),
});
export type ShownEvent = Static<typeof EventsSchema>['events'][number];

const AnswerSchema = Type.Object({
  series: Type.Array(
    Type.Object({ key: Type.String(), points: Type.Array(Type.Object({ value: Type.Number() })) }),
  ),
});

/** The controller's API, as far as the demonstration needs it. */
export interface DemoApi {
  devices(): Promise<ShownDevice[]>;
  newestEvents(limit: number, sinceTs: number): Promise<ShownEvent[]>;
  /** What a device has reported of its operating points; none before it has measured them. */
  operatingPoints(device: string): Promise<ReportedPoint[]>;
  /** States a budget for the whole fleet. */
  setBudget(set: Requirement): Promise<void>;
  label(device: string, labels: Readonly<Record<string, string>>): Promise<void>;
  /** One value per device: an aggregate of a metric since a time. */
  perDevice(metric: string, aggregate: string, sinceTs: number): Promise<Map<string, number>>;
}

const TIMEOUT_MS = 10_000;

/** Opens the API at an address. */
export function openApi(url: string, token: string): DemoApi {
  const call = async (path: string, init: RequestInit = {}): Promise<unknown> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const response = await fetch(new URL(path, url), {
      ...init,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new AppError('unreachable', `${path}: the controller answers ${response.status}`);
    return await response.json();
  };
  const parseDevices = parserOf(DevicesSchema);
  const parseDetail = parserOf(DetailSchema);
  const parseEvents = parserOf(EventsSchema);
  const parseAnswer = parserOf(AnswerSchema);
  return {
    devices: async () => parseDevices(await call('/v1/devices'), 'devices').devices,
    newestEvents: async (limit, sinceTs) =>
      parseEvents(await call(`/v1/events?limit=${limit}&since=${sinceTs}`), 'events').events,
    operatingPoints: async (device) => {
      const known = parseDevices(await call('/v1/devices'), 'devices').devices.some(
        ({ id }) => id === device,
      );
      if (!known) return [];
      const { reported } = parseDetail(await call(`/v1/devices/${device}`), device);
      return reported?.profile?.state === 'measuring' ? [] : (reported?.operatingPoints ?? []);
    },
    setBudget: async (set) => {
      await call('/v1/budgets', { method: 'PATCH', body: JSON.stringify({ scope: { kind: 'fleet' }, set }) });
    },
    label: async (device, labels) => {
      await call(`/v1/devices/${device}/labels`, { method: 'PATCH', body: JSON.stringify({ set: labels }) });
    },
    perDevice: async (metric, aggregate, sinceTs) => {
      const query = new URLSearchParams({ metric, aggregate, since: String(sinceTs), by: 'device' });
      const { series } = parseAnswer(await call(`/v1/telemetry/query?${query}`), 'telemetry');
      return new Map(
        series.flatMap(({ key, points: [point] }) => (point ? [[key, point.value] as const] : [])),
      );
    },
  };
}
