import { createDeviceGatherer } from '../../agent/telemetry/gauges.ts';
import { createWindowGatherer } from '../../agent/telemetry/window.ts';
import { PROTOCOL_VERSION } from '../../shared/protocol/topics.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import { toWire } from '../../shared/protocol/window-wire.ts';
import { type Random, seededRandom } from '../../shared/random.ts';

/** Length of a window, milliseconds, and the frames in it, at 25 a second. */
export const WINDOW_MS = 10_000;
const FRAMES = 250;
const FRAME_MS = WINDOW_MS / FRAMES;
const SENSOR_PERIOD_MS = 1_000;
const FAMILY = 'ab54d286474d0e5e40a8f20b0d7f2ac18ba65ce7c1f4d0b2b3a7c4a1a0f3e9d6';
export const BOOT_ID = '0000aaaa-0001';
export const BENCH_FLEET = 'bench';

export function deviceName(index: number): string {
  return `jetson-${index + 1}`;
}

export interface SimulatedWindow {
  readonly body: WindowBody;
  /** Every latency in it, milliseconds. */
  readonly latenciesMs: readonly number[];
}

/** What a device has to do; by chance where it is not given. */
export interface SimulatedLoad {
  /** Slowdown by other programs, as a multiple. */
  readonly load?: number;
  readonly levels?: number;
}

/**
 * A window as the agent of a Jetson makes it, by the agent's own gatherers: 250 frames on two or three levels,
 * log-normal latencies, sensors read each second.
 */
export function simulateWindow(
  random: Random,
  { load = 1 + random.below(100) / 100, levels = 2 + random.below(2) }: SimulatedLoad = {},
): SimulatedWindow {
  const gatherer = createWindowGatherer();
  const device = createDeviceGatherer(SENSOR_PERIOD_MS);
  const latenciesMs: number[] = [];
  for (let frame = 0; frame < FRAMES; frame += 1) {
    const profileMs = 10 + 6 * Math.floor((frame * levels) / FRAMES);
    const runMs = profileMs * load * Math.exp(0.15 * random.normal());
    const latencyMs = runMs + 0.3 * Math.exp(0.5 * random.normal());
    latenciesMs.push(latencyMs);
    gatherer.inference({
      pe: 'gpu',
      level: (profileMs - 10) / 6,
      latencyMs,
      runMs,
      profileMs,
      energyJ: 0.004 * runMs,
      confidence: share(random),
      missed: latencyMs > 50,
      correct: undefined,
      nowMs: frame * FRAME_MS,
    });
  }
  for (let atMs = 0; atMs < WINDOW_MS; atMs += SENSOR_PERIOD_MS) device.add(deviceSeen(random, atMs));
  const rest = {
    ...device.take(WINDOW_MS),
    durationMs: WINDOW_MS,
    family: FAMILY,
    desired: { epoch: 1_700_000_000, n: 12 },
    slowdown: load,
    price: 0,
    drifting: false,
    requirement: { latencyMs: 50, missShare: 0.01, priority: 'temperature,latency,accuracy,energy' },
    outboxRecords: 1,
    outboxAgeMs: WINDOW_MS,
  } as const;
  return { body: gatherer.take(rest, WINDOW_MS), latenciesMs };
}

/** So many windows, the same for the same seed. */
export function simulateWindows(count: number, seed: number): SimulatedWindow[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => simulateWindow(random));
}

function share(random: Random): number {
  return random.below(1_000) / 1_000;
}

type DeviceSeen = Parameters<ReturnType<typeof createDeviceGatherer>['add']>[0];

function deviceSeen(random: Random, atMs: number): DeviceSeen {
  const powerW = Math.max(2, 6 + random.normal());
  return {
    rssBytes: 3e8 + Math.round(1e6 * share(random)),
    queue: random.below(3),
    reading: {
      atMs,
      tempC: 61.5 + Math.round(2 * share(random)) / 2,
      hottestZone: 'tj',
      powerW,
      energyJ: powerW,
      energyOverMs: SENSOR_PERIOD_MS,
      powerQuality: 'measured',
      powerScope: undefined,
      powerSource: 'VDD_IN',
      gpuLoad: share(random),
      gpuFreqHz: 918e6,
      cpuFreqHz: 1_510_400_000,
      cpuBusy: share(random) / 4,
      memAvailableBytes: 3e9 + Math.round(1e7 * share(random)),
      psi: { cpu: 0.01, memory: 0, memoryFull: 0 },
      powerMode: '15W',
      throttledBy: [],
    },
  };
}

/** What stands around a window on its way. */
export interface Stamps {
  readonly device: string;
  readonly seq: number;
  /** End of the window, milliseconds since the epoch. */
  readonly ts: number;
}

/** The JSON of a window on its way, envelope and all, as the agent's sender writes it. @param body JSON */
export function envelopeText({ device, seq, ts }: Stamps, body: string): string {
  const monoMs = seq * WINDOW_MS;
  const stamps = { v: PROTOCOL_VERSION, device, bootId: BOOT_ID, seq, ts, monoMs, clock: 'synced' };
  return `${JSON.stringify(stamps).slice(0, -1)},"body":${body}}`;
}

/** The JSON of a window's wire form. */
export function bodyText(body: WindowBody): string {
  return JSON.stringify(toWire(body));
}
