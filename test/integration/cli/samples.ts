import type { ControllerState, Device, DeviceDetail, Stated } from '../../../controller/api/schemas.ts';

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
