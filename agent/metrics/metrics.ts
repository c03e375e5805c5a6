import type { ProcessingElement } from '../../shared/protocol/window.ts';
import type { OperationKnowledge, OperationListener } from '../operation/listener.ts';
import type { FrameAnswered } from '../runtime/loop.ts';
import type { SensorReading } from '../sensors/reading.ts';
import type { OutboxTotals, Waiting } from '../telemetry/outbox.ts';
import { createMetricsRegistry, type Labels, type MetricsRegistry } from './registry.ts';

/** What an agent knows at the moment of a scrape. */
export interface AgentNow {
  readonly software: string;
  readonly device: string;
  readonly family: { readonly name: string; readonly version: number; readonly sha256: string };
  readonly policy: string;
  readonly slowdown: number;
  readonly price: number;
  readonly isDrifting: boolean;
  readonly isLinkUp: boolean;
  readonly isControllerOnline: boolean;
  readonly waiting: Waiting;
  readonly totals: OutboxTotals;
  /** Records that could not be stored. */
  readonly lost: number;
  /** Memory of this process, bytes. */
  readonly rssBytes: number;
}

/** The metrics of an agent for Prometheus. */
export interface AgentMetrics {
  /** Hears the same as telemetry does. */
  hear(knowledge: OperationKnowledge): OperationListener;
  /** Text of a scrape. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Upper bounds of the latency histogram, seconds. */
const LATENCY_BOUNDS_S = [
  0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5,
];

/** Counters by operating point. */
const BY_POINT = ['pe', 'level'] as const;

/**
 * Makes the metrics of an agent, in base units.
 * @param now asked at each scrape
 */
export function createAgentMetrics(now: () => AgentNow): AgentMetrics {
  const registry = createMetricsRegistry();
  const device: { reading?: SensorReading; queue?: number } = {};
  let scraped: AgentNow | undefined;
  addState(registry, () => scraped ?? now());
  addDevice(registry, device);
  const hear = createHearing(registry, (reading, queue) => {
    device.reading = reading;
    device.queue = queue;
  });
  const text = async (): Promise<string> => {
    // Asked once a scrape: estimates of accuracy are not for nothing.
    scraped = now();
    return await registry.text();
  };
  return { hear, text, contentType: registry.contentType };
}

/** What is counted as it happens. */
function createHearing(
  registry: MetricsRegistry,
  onReading: OperationListener['reading'],
): AgentMetrics['hear'] {
  const count = (name: string, help: string, labels: readonly string[] = []) =>
    registry.counter(`ofa_agent_${name}_total`, help, labels);
  const inference = createInferenceCounters(registry);
  const switches = count('switches', 'Changes of the operating point.');
  const sheds = count('sheds', 'Frames given up because no operating point would have been in time.');
  const skipped = count('skipped_frames', 'Frames skipped because a newer one was there.');
  const unreadable = count('unreadable_frames', 'Frames that could not be read.');
  const failed = count('failed', 'Inferences that failed.');
  const violations = count('violations', 'Spells in which a limit could not be met.', ['limit']);
  const audits = count('audits', 'Inferences repeated by the best level.', BY_POINT);
  const agreed = count('audits_agreed', 'Audits that gave the same answer.', BY_POINT);
  const energy = count('energy_joules', 'Energy used by the device.', ['quality']);
  return ({ energyOf }) => ({
    inference: (answered) => inference(answered, energyOf(answered.index, answered.runMs)),
    switched: () => switches.add(1),
    shed: () => sheds.add(1),
    violation: (limit, state) => violations.add(state === 'begins' ? 1 : 0, { limit }),
    skipped: (frames) => skipped.add(frames),
    unreadable: () => unreadable.add(1),
    failed: () => failed.add(1),
    audited: ({ pe, level, agreed: isSame }) => {
      audits.add(1, { pe, level });
      agreed.add(isSame ? 1 : 0, { pe, level });
    },
    reading: (reading, queue) => {
      onReading(reading, queue);
      const { energyJ, powerQuality } = reading;
      if (energyJ !== undefined && energyJ >= 0) energy.add(energyJ, { quality: powerQuality });
    },
  });
}

function createInferenceCounters(
  registry: MetricsRegistry,
): (answered: FrameAnswered, energyJ: number | undefined) => void {
  const inferences = registry.counter('ofa_agent_inferences_total', 'Inferences made.', BY_POINT);
  const misses = registry.counter(
    'ofa_agent_misses_total',
    'Inferences that took longer than the latency budget in force.',
    BY_POINT,
  );
  const energy = registry.counter(
    'ofa_agent_inference_energy_joules_total',
    'Energy of inferences above idle, where it is known.',
    BY_POINT,
  );
  const latency = registry.histogram(
    'ofa_agent_inference_latency_seconds',
    'Time from the arrival of a frame to its answer.',
    { labels: BY_POINT, bounds: LATENCY_BOUNDS_S },
  );
  return ({ point, latencyMs, missed }, energyJ) => {
    const labels: Labels & { readonly pe: ProcessingElement } = { pe: point.pe, level: point.level };
    inferences.add(1, labels);
    misses.add(missed ? 1 : 0, labels);
    latency.observe(latencyMs / 1_000, labels);
    if (energyJ !== undefined) energy.add(energyJ, labels);
  };
}

/** What the agent is, and where it stands. */
function addState(registry: MetricsRegistry, now: () => AgentNow): void {
  const gauge = (name: string, help: string, read: (at: AgentNow) => number | undefined): void =>
    registry.gauge(`ofa_agent_${name}`, help, () => read(now()));
  registry.info('ofa_agent_build_info', 'Version of the agent, and its device.', {
    labels: ['version', 'device'],
    read: () => ({ version: now().software, device: now().device }),
  });
  registry.info('ofa_agent_family_info', 'Family that is served, and the policy that chooses.', {
    labels: ['family', 'version', 'sha256', 'policy'],
    read: () => {
      const { family, policy } = now();
      return { family: family.name, version: family.version, sha256: family.sha256, policy };
    },
  });
  gauge('slowdown_ratio', 'Measured latency as a multiple of the profile.', ({ slowdown }) => slowdown);
  gauge('accuracy_price_per_joule', 'Accuracy that one joule is worth.', ({ price }) => price);
  gauge('drifting', 'Whether audits say that the levels are not worth what they were.', ({ isDrifting }) =>
    Number(isDrifting),
  );
  gauge('link_up', 'Whether there is a connection to the broker.', ({ isLinkUp }) => Number(isLinkUp));
  gauge('controller_online', 'Whether a controller takes telemetry in.', ({ isControllerOnline }) =>
    Number(isControllerOnline),
  );
  gauge('outbox_records', 'Records that wait for an acknowledgement.', ({ waiting }) => waiting.records);
  gauge('outbox_oldest_age_seconds', 'Age of the oldest record that waits.', ({ waiting }) =>
    waiting.ageMs === undefined ? undefined : waiting.ageMs / 1_000,
  );
  gauge('resident_memory_bytes', 'Memory of the agent.', ({ rssBytes }) => rssBytes);
  registry.total(
    'ofa_agent_dropped_records_total',
    'Records dropped because the outbox was full or they were too old.',
    () => now().totals.dropped,
  );
  registry.total('ofa_agent_lost_records_total', 'Records that could not be stored.', () => now().lost);
}

/** What the sensors said last. */
function addDevice(
  registry: MetricsRegistry,
  device: { readonly reading?: SensorReading; readonly queue?: number },
): void {
  const gauge = (name: string, help: string, read: (reading: SensorReading) => number | undefined): void =>
    registry.gauge(`ofa_agent_${name}`, help, () => device.reading && read(device.reading));
  gauge('power_watts', 'Power of the device.', ({ powerW }) => powerW);
  gauge('temperature_celsius', 'Temperature of the hottest zone.', ({ tempC }) => tempC);
  gauge('cpu_busy_ratio', 'Busy share of all processors.', ({ cpuBusy }) => cpuBusy);
  gauge('gpu_busy_ratio', 'Busy share of the GPU.', ({ gpuLoad }) => gpuLoad);
  gauge('cpu_frequency_hertz', 'Frequency of the fastest processor.', ({ cpuFreqHz }) => cpuFreqHz);
  gauge('gpu_frequency_hertz', 'Frequency of the GPU.', ({ gpuFreqHz }) => gpuFreqHz);
  gauge(
    'memory_available_bytes',
    'Memory that can be used without swapping.',
    ({ memAvailableBytes }) => memAvailableBytes,
  );
  gauge('throttled', 'Whether the kernel slows the device down to cool it.', ({ throttledBy }) =>
    throttledBy === undefined ? undefined : Number(throttledBy.length > 0),
  );
  gauge(
    'cpu_pressure_ratio',
    'Share of time in which processes wait for a processor.',
    ({ psi }) => psi?.cpu,
  );
  registry.gauge('ofa_agent_queue_requests', 'Requests that wait for their turn.', () => device.queue);
}
