import type { Clock } from '../../shared/clock.ts';
import { type MetricsListener, startMetricsListener } from '../../shared/metrics-listener.ts';
import { createProcessMetrics } from './process.ts';
import { createRegistry, type Labelled, type MetricsRegistry } from './registry.ts';

/** What the controller knows of itself; counts are since its start. */
export interface ControllerFacts {
  readonly version: string;
  readonly fleet: string;
  readonly epoch: number;
  readonly connected: boolean;
  readonly devices: { readonly known: number; readonly online: number };
  readonly ingest: {
    readonly windows: number;
    readonly events: number;
    readonly duplicates: number;
    readonly pending: number;
    readonly pendingBytes: number;
    readonly stalled: boolean;
    readonly rejected: Readonly<Record<string, number>>;
  };
  /** Release files that were sent over MQTT. */
  readonly transfer: {
    readonly publishedChunks: number;
    readonly publishedBytes: number;
    readonly waiting: number;
  };
  /** Rollouts by state. */
  readonly rollouts: Readonly<Record<string, number>>;
  /** How many fire, by rule. */
  readonly alerts: Readonly<Record<string, number>>;
  /** Undefined where no webhook is told. */
  readonly notifications:
    | {
        readonly waiting: number;
        readonly delivered: number;
        readonly failures: number;
        readonly dropped: number;
      }
    | undefined;
}

/** What the history knows of itself. */
export interface HistoryFacts {
  readonly windows: number;
  readonly events: number;
  readonly bytes: number;
  readonly walBytes: number;
  /** What is not in the roll-ups yet: windows, and the age of the oldest of them. */
  readonly lagRecords: number;
  readonly lagMs: number;
}

export interface ControllerMetricsDeps {
  readonly clock: Clock;
  readonly facts: () => ControllerFacts;
  readonly history: () => Promise<HistoryFacts>;
}

/** Metrics of the controller for Prometheus: what is counted here, and what is asked for at each scrape. */
export interface ControllerMetrics extends Disposable {
  readonly contentType: string;
  /** A commit of received records ended. */
  committed(durationMs: number, outcome: 'stored' | 'failed'): void;
  /** A job such as the roll-up ended. */
  jobEnded(job: string, durationMs: number, outcome: 'done' | 'failed'): void;
  /** A request was answered; `route` is the pattern of its address, not the address. */
  requested(request: { readonly method: string; readonly route: string; readonly status: number }): void;
  text(): Promise<string>;
}

/** The history answers within this time, or its figures are left out of the scrape. */
const HISTORY_TIMEOUT_MS = 2_000;
const COMMIT_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const JOB_BUCKETS_S = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800];

/** Makes the metrics; dispose it, it watches the event loop. */
export function createControllerMetrics({ clock, facts, history }: ControllerMetricsDeps): ControllerMetrics {
  const registry = createRegistry();
  const processMetrics = createProcessMetrics(registry);
  const showFacts = factMetrics(registry);
  const showHistory = historyMetrics(registry);
  const events = eventMetrics(registry);
  return {
    contentType: registry.contentType,
    ...events,
    text: async () => {
      showHistory(await inTime(history, clock));
      showFacts(facts());
      processMetrics.show();
      return registry.text();
    },
    [Symbol.dispose]: () => processMetrics[Symbol.dispose](),
  };
}

/**
 * Starts the listener that Prometheus scrapes.
 * @throws AppError as `startMetricsListener`
 */
export function serveMetrics(
  metrics: ControllerMetrics,
  options: { readonly host: string; readonly port: number; readonly onFault: (error: unknown) => void },
): Promise<MetricsListener> {
  return startMetricsListener({ ...options, text: metrics.text, contentType: metrics.contentType });
}

/** What the history says, or undefined: a history that hangs must not hide everything else. */
async function inTime(history: () => Promise<HistoryFacts>, clock: Clock): Promise<HistoryFacts | undefined> {
  const waiting = new AbortController();
  const timeout = clock.sleep(HISTORY_TIMEOUT_MS, waiting.signal).catch(() => undefined);
  try {
    return (await Promise.race([history(), timeout])) ?? undefined;
  } catch {
    return undefined;
  } finally {
    waiting.abort();
  }
}

function by(label: string, counts: Readonly<Record<string, number>>): Labelled[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));
}

function factMetrics(registry: MetricsRegistry): (facts: ControllerFacts) => void {
  const info = registry.gauge('ofa_controller_info', 'Version and fleet; always 1.', ['version', 'fleet']);
  const epoch = registry.gauge('ofa_controller_epoch', 'Epoch of the desired state.');
  const connected = registry.gauge('ofa_controller_link_connected', 'Whether the broker is connected.');
  const devices = registry.gauge('ofa_controller_devices', 'Devices that are known.');
  const online = registry.gauge('ofa_controller_devices_online', 'Devices that are online.');
  const showIngest = ingestMetrics(registry);
  const alerts = registry.gauge('ofa_controller_alerts_firing', 'Alerts that fire, by rule.', ['rule']);
  const showWebhook = webhookMetrics(registry);
  const showTransfer = transferMetrics(registry);
  const rollouts = registry.gauge('ofa_controller_rollouts', 'Rollouts that are kept, by state.', ['state']);
  return (facts) => {
    info.set([{ labels: { version: facts.version, fleet: facts.fleet }, value: 1 }]);
    epoch.set(facts.epoch);
    connected.set(Number(facts.connected));
    devices.set(facts.devices.known);
    online.set(facts.devices.online);
    showIngest(facts.ingest);
    alerts.set(by('rule', facts.alerts));
    showWebhook(facts.notifications);
    showTransfer(facts.transfer);
    rollouts.set(by('state', facts.rollouts));
  };
}

function ingestMetrics(registry: MetricsRegistry): (ingest: ControllerFacts['ingest']) => void {
  const name = (rest: string) => `ofa_controller_ingest_${rest}`;
  const windows = registry.total(name('windows_total'), 'Windows that were stored.');
  const events = registry.total(name('events_total'), 'Events that were stored.');
  const duplicates = registry.total(name('duplicates_total'), 'Records that were stored already.');
  const rejected = registry.total(name('rejected_total'), 'Messages that were dropped, by reason.', [
    'reason',
  ]);
  const pending = registry.gauge(name('pending_messages'), 'Messages that wait for their commit.');
  const bytes = registry.gauge(name('pending_bytes'), 'Size of the messages that wait for their commit.');
  const stalled = registry.gauge(name('stalled'), 'Whether nothing can be stored now.');
  return (ingest) => {
    windows.set(ingest.windows);
    events.set(ingest.events);
    duplicates.set(ingest.duplicates);
    rejected.set(by('reason', ingest.rejected));
    pending.set(ingest.pending);
    bytes.set(ingest.pendingBytes);
    stalled.set(Number(ingest.stalled));
  };
}

function transferMetrics(registry: MetricsRegistry): (transfer: ControllerFacts['transfer']) => void {
  const name = (rest: string) => `ofa_controller_transfer_${rest}`;
  const bytes = registry.total(name('bytes_total'), 'Bytes of release files that the broker took.');
  const chunks = registry.total(name('chunks_total'), 'Chunks of release files that the broker took.');
  const waiting = registry.gauge(name('waiting_chunks'), 'Chunks that devices asked for and that wait.');
  return (transfer) => {
    bytes.set(transfer.publishedBytes);
    chunks.set(transfer.publishedChunks);
    waiting.set(transfer.waiting);
  };
}

function webhookMetrics(registry: MetricsRegistry): (state: ControllerFacts['notifications']) => void {
  const name = (rest: string) => `ofa_controller_webhook_${rest}`;
  const waiting = registry.gauge(
    name('waiting_notifications'),
    'Notifications that the webhook was not told.',
  );
  const delivered = registry.total(name('delivered_total'), 'Notifications that the webhook took.');
  const failures = registry.total(name('failures_total'), 'Requests to the webhook that failed.');
  const dropped = registry.total(name('dropped_total'), 'Notifications that were given up.');
  return (state) => {
    waiting.set(state?.waiting);
    delivered.set(state?.delivered);
    failures.set(state?.failures);
    dropped.set(state?.dropped);
  };
}

function historyMetrics(registry: MetricsRegistry): (facts: HistoryFacts | undefined) => void {
  const name = (rest: string) => `ofa_controller_history_${rest}`;
  const up = registry.gauge(
    name('up'),
    'Whether the history answers; without it the figures of it are missing.',
  );
  const windows = registry.gauge(name('windows'), 'Windows that are stored one by one.');
  const events = registry.gauge(name('events'), 'Events that are stored.');
  const bytes = registry.gauge(name('size_bytes'), 'Size of the history, without its write-ahead log.');
  const wal = registry.gauge(name('wal_bytes'), 'Size of the write-ahead log of the history.');
  const behind = registry.gauge(name('rollup_lag_windows'), 'Windows that are not in the roll-ups yet.');
  const lag = registry.gauge(name('rollup_lag_seconds'), 'Age of the oldest of those windows.');
  return (facts) => {
    up.set(Number(facts !== undefined));
    windows.set(facts?.windows);
    events.set(facts?.events);
    bytes.set(facts?.bytes);
    wal.set(facts?.walBytes);
    behind.set(facts?.lagRecords);
    lag.set(facts === undefined ? undefined : facts.lagMs / 1_000);
  };
}

function eventMetrics(
  registry: MetricsRegistry,
): Pick<ControllerMetrics, 'committed' | 'jobEnded' | 'requested'> {
  const commits = registry.histogram('ofa_controller_commit_duration_seconds', 'Duration of commits.', {
    labels: ['outcome'],
    buckets: COMMIT_BUCKETS_S,
  });
  const jobs = registry.histogram('ofa_controller_job_duration_seconds', 'Duration of jobs, by job.', {
    labels: ['job', 'outcome'],
    buckets: JOB_BUCKETS_S,
  });
  const labels = ['method', 'route', 'status'];
  const requests = registry.counter('ofa_controller_api_requests_total', 'Requests of the API.', labels);
  return {
    committed: (durationMs, outcome) => commits.observe({ outcome }, durationMs / 1_000),
    jobEnded: (job, durationMs, outcome) => jobs.observe({ job, outcome }, durationMs / 1_000),
    requested: ({ method, route, status }) => requests.add({ method, route, status: String(status) }),
  };
}
