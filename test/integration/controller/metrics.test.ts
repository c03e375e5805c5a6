import { spawnSync } from 'node:child_process';
import { expect, test, vi } from 'vitest';
import {
  type ControllerFacts,
  createControllerMetrics,
  type HistoryFacts,
  serveMetrics,
} from '../../../controller/metrics/metrics.ts';
import { systemClock } from '../../../shared/clock.ts';
import { startMetricsListener } from '../../../shared/metrics-listener.ts';
import { manualClock } from '../../support/clock.ts';

const FACTS: ControllerFacts = {
  transfer: { publishedChunks: 7, publishedBytes: 450_000, waiting: 2 },
  rollouts: { running: 1, completed: 3 },
  version: '1.2.3',
  fleet: 'lab',
  epoch: 17,
  connected: true,
  devices: { known: 5, online: 3 },
  ingest: {
    windows: 100,
    events: 7,
    duplicates: 2,
    pending: 4,
    pendingBytes: 4_096,
    stalled: false,
    rejected: { overload: 3, 'not-json': 1 },
  },
  alerts: { throttled: 2, drifting: 0 },
  notifications: { waiting: 1, delivered: 2, failures: 3, dropped: 0 },
};
const HISTORY: HistoryFacts = {
  windows: 90,
  events: 7,
  bytes: 1_000_000,
  walBytes: 2_000,
  lagRecords: 5,
  lagMs: 61_000,
};

const LOOPBACK = { host: '127.0.0.1', port: 0, onFault: () => undefined };

function metricsOf(history: () => Promise<HistoryFacts> = async () => HISTORY, clock = systemClock) {
  return createControllerMetrics({ clock, facts: () => FACTS, history });
}

test('everything is shown over HTTP, in base units', async () => {
  using metrics = metricsOf();
  await using listener = await serveMetrics(metrics, LOOPBACK);
  metrics.committed(12, 'stored');
  metrics.jobEnded('roll-up', 700, 'failed');
  metrics.requested({ method: 'GET', route: '/v1/devices', status: 200 });
  const response = await fetch(listener.url);
  expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  const lines = (await response.text()).split('\n');
  for (const line of [
    'ofa_controller_info{version="1.2.3",fleet="lab"} 1',
    'ofa_controller_epoch 17',
    'ofa_controller_link_connected 1',
    'ofa_controller_devices_online 3',
    'ofa_controller_ingest_windows_total 100',
    'ofa_controller_ingest_rejected_total{reason="overload"} 3',
    'ofa_controller_ingest_pending_bytes 4096',
    'ofa_controller_ingest_stalled 0',
    'ofa_controller_alerts_firing{rule="throttled"} 2',
    'ofa_controller_webhook_failures_total 3',
    'ofa_controller_history_up 1',
    'ofa_controller_history_rollup_lag_seconds 61',
    'ofa_controller_commit_duration_seconds_count{outcome="stored"} 1',
    'ofa_controller_job_duration_seconds_sum{job="roll-up",outcome="failed"} 0.7',
    'ofa_controller_api_requests_total{method="GET",route="/v1/devices",status="200"} 1',
  ]) {
    expect(lines).toContain(line);
  }
  // Values are set, not added, at each scrape; of a moment too short for a sample there is no delay.
  await vi.waitFor(async () => {
    const again = await (await fetch(listener.url)).text();
    expect(again).toContain('ofa_controller_ingest_windows_total 100\n');
    expect(again).toMatch(/^ofa_controller_event_loop_delay_max_seconds \d/m);
  });
});

const promtool = spawnSync('promtool', ['--version']).status === 0;
if (!promtool) {
  process.stderr.write(
    'promtool is not installed (Debian package prometheus): its check of the metrics is skipped\n',
  );
}

test.skipIf(!promtool)('promtool finds nothing to complain of', async () => {
  using metrics = metricsOf();
  metrics.committed(12, 'stored');
  metrics.jobEnded('roll-up', 700, 'done');
  metrics.requested({ method: 'GET', route: '/v1/devices', status: 200 });
  const check = spawnSync('promtool', ['check', 'metrics'], {
    input: await metrics.text(),
    encoding: 'utf8',
  });
  expect(check).toMatchObject({ status: 0, stdout: '', stderr: '' });
});

test('a history that fails or hangs hides only its own figures', async () => {
  using failing = metricsOf(() => Promise.reject(new Error('thread died')));
  const text = await failing.text();
  expect(text).toContain('ofa_controller_history_up 0\n');
  expect(text).not.toMatch(/^ofa_controller_history_size_bytes /m);
  expect(text).toContain('ofa_controller_epoch 17\n');
  const clock = manualClock();
  using hanging = metricsOf(() => new Promise(() => undefined), clock);
  const late = hanging.text();
  await clock.advance(2_000);
  expect(await late).toContain('ofa_controller_history_up 0\n');
});

test('there is only GET /metrics, and only on this machine', async () => {
  let calls = 0;
  const text = async () => {
    calls += 1;
    return 'a 1\n';
  };
  const options = { host: '127.0.0.1', port: 0, text, contentType: 'text/plain' };
  await using listener = await startMetricsListener(options);
  const at = (path: string) => new URL(path, listener.url);
  expect((await fetch(at('/'))).status).toBe(404);
  expect((await fetch(listener.url, { method: 'POST', body: 'x' })).status).toBe(405);
  expect(await (await fetch(`${listener.url}?x=1`)).text()).toBe('a 1\n');
  expect(calls).toBe(1);
  const port = Number(new URL(listener.url).port);
  await expect(startMetricsListener({ ...options, port })).rejects.toMatchObject({ code: 'conflict' });
  await expect(startMetricsListener({ ...options, host: '0.0.0.0' })).rejects.toMatchObject({
    code: 'config',
  });
});

test('however many scrape at once, there is one at work, and one that fails is answered', async () => {
  let running = 0;
  let most = 0;
  let fails = false;
  const text = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (fails) throw new Error('no');
    return 'a 1\n';
  };
  const faults: unknown[] = [];
  const onFault = (error: unknown) => faults.push(error);
  await using listener = await startMetricsListener({
    ...LOOPBACK,
    text,
    contentType: 'text/plain',
    onFault,
  });
  const answers = await Promise.all(Array.from({ length: 8 }, () => fetch(listener.url)));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
  expect(most).toBe(1);
  fails = true;
  expect((await fetch(listener.url)).status).toBe(500);
  expect(faults).toHaveLength(1);
});
