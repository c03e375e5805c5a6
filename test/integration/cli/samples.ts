import type { AlertRow } from '../../../controller/api/alert-schemas.ts';
import type {
  GapRow,
  HistoryStatus,
  TailLine,
  TelemetryAnswer,
} from '../../../controller/api/history-schemas.ts';
import type {
  ControllerState,
  Device,
  DeviceDetail,
  EventRow,
  Stated,
} from '../../../controller/api/schemas.ts';

export const STATE: ControllerState = {
  version: '0.1.0',
  fleet: 'lab',
  epoch: 1,
  startedTs: 1_777_000_000_000,
  mqtt: { connected: true },
  devices: { known: 3, online: 2 },
  ingest: { windows: 120, events: 7, duplicates: 4, pending: 1, rejected: { 'too-large': 2 } },
  history: { windows: 116, events: 7, bytes: 40_960 },
};

export function deviceOf(id: string): Device {
  return {
    id,
    online: true,
    firstSeenTs: 1_777_000_000_000,
    lastSeenTs: 1_777_000_100_000,
    labels: { site: 'lab' },
    groups: ['cameras'],
    latest: {
      ts: 1_777_000_090_000,
      durationMs: 10_000,
      inferences: 300,
      misses: 3,
      switches: 1,
      sheds: 0,
      level: 2,
      latencyMeanMs: 1.6,
      latencyP95Ms: 1.9,
      accuracy: 0.931,
      slowdown: 1.02,
      requirement: { latencyMs: 2 },
    },
  };
}

export function detailOf(id: string): DeviceDetail {
  return {
    ...deviceOf(id),
    identityConflict: false,
    reported: {
      v: 1,
      bootId: '0f0e0d0c-0000-4000-8000-000000000000',
      software: { agent: '0.1.0', node: '24.21.0', onnxruntime: '1.30.0' },
      hardware: { model: 'Jetson Orin Nano', arch: 'arm64', cpus: 6, memoryBytes: 8e9 },
      family: { name: 'digits', version: 1, sha256: 'ab'.repeat(32) },
      operatingPoints: [{ pe: 'cpu', level: 0, accuracy: 0.9, latencyMs: 1.2 }],
      applied: { groups: {} },
      requirement: { latencyMs: 2, priority: 'latency' },
      settings: { windowMs: 10_000 },
      sources: { latencyMs: 'group cameras', priority: 'fleet' },
      refused: [],
      rejected: {},
    },
  };
}

export function statedOf(scope: Stated['scope']): Stated {
  return {
    scope,
    version: { epoch: 1, n: 4 },
    requirement: { latencyMs: 2, missShare: 0.02 },
    settings: { windowMs: 30_000 },
    devices: 3,
  };
}

/** An answer with one value a minute; `undefined` is a minute without windows. */
export function answerOf(
  series: Readonly<Record<string, readonly (number | undefined)[]>>,
  more: Partial<TelemetryAnswer> = {},
): TelemetryAnswer {
  const since = Date.parse('2026-04-24T03:00:00Z');
  const minutes = Math.max(0, ...Object.values(series).map(({ length }) => length));
  return {
    ...{ metric: 'latencyMs', unit: 'ms', aggregate: 'p95', since, until: since + minutes * 60_000 },
    ...{ bucketMs: 60_000, timeZone: 'UTC', resolutionMs: 0, devices: 2, redated: 0, late: 0, lost: 0 },
    series: Object.entries(series).map(([key, values]) => ({
      key,
      points: values.flatMap((value, minute) =>
        value === undefined ? [] : [{ ts: since + minute * 60_000, value, count: 100 }],
      ),
    })),
    ...more,
  };
}

/** A line of a tail that tells of a window. */
export function windowLine(device: string): TailLine {
  const { latest } = deviceOf(device);
  if (latest === undefined) throw new Error('the sample has no window');
  return { ...latest, what: 'window', device, pe: 'cpu', powerW: 7.25, tempC: 54 };
}

/** A line of a tail that tells of an event. */
export function eventLine(device: string, body: EventRow['body']): TailLine {
  return { what: 'event', device, ts: 1_777_000_000_000, kind: body.kind, body };
}

export const GAPS: readonly GapRow[] = [
  {
    ...{ device: 'jetson-1', bootId: '0f0e0d0c-0000-4000-8000-000000000000', from: 10, to: 21, records: 12 },
    ...{ ts: 1_777_000_000_000, state: 'counted', reason: 'the outbox was full' },
  },
  {
    ...{ device: 'jetson-2', bootId: '0f0e0d0c-0000-4000-8000-000000000001', from: 3, to: 5, records: 3 },
    ...{ ts: 1_776_000_000_000, state: 'missing', reason: 'not here yet' },
  },
];

export const ALERT: AlertRow = {
  ...{ id: 'a-1', rule: 'budget-violated', device: 'jetson-1', severity: 'critical', state: 'firing' },
  ...{ text: 'latency cannot be met', sinceTs: 1_777_000_000_000 },
};

export const HISTORY_STATUS: HistoryStatus = {
  ...{ windows: 116, events: 7, bytes: 40_960, walBytes: 8_192, lagRecords: 4, lagMs: 12_000 },
  ...{ boots: 3, series: 5 },
};
