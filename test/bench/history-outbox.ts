import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { loadAgentConfig } from '../../agent/config.ts';
import type { Uplink } from '../../agent/link/link.ts';
import { createRecordSender } from '../../agent/link/record-sender.ts';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { createDeviceGatherer } from '../../agent/telemetry/gauges.ts';
import { openTelemetry, type Telemetry } from '../../agent/telemetry/telemetry.ts';
import { createWindowGatherer } from '../../agent/telemetry/window.ts';
import { systemClock } from '../../shared/clock.ts';
import type { EventEnvelope } from '../../shared/protocol/event.ts';
import { packText } from '../../shared/protocol/messages.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import { type Random, seededRandom } from '../../shared/random.ts';
import type { Figure } from './report.ts';

const APPENDED = 4_000;
const STEADY = 1_000;
const DAY_MS = 86_400_000;
/** Frames of a window at 25 a second, and how they spread over two levels. */
const FRAMES = 250;
const SHARE_OF_FIRST = 0.8;
const PERIOD_MS = 1_000;

/** What the outbox of an agent can take and give, and what it writes to the disk while all goes well. */
export async function outboxFigures(): Promise<Figure[]> {
  const windows = Array.from({ length: 50 }, (_, index) => windowOf(seededRandom(index + 1)));
  return [...(await inFolder(async (folder) => throughput(folder, windows))), await wear(windows)];
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'ofa-outbox-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function openIn(folder: string) {
  const database = openAgentDatabase(folder);
  const telemetry = openTelemetry({
    database,
    bootId: '0000aaaa-0001',
    clock: systemClock,
    log: pino({ level: 'silent' }),
    maxBytes: 2 ** 28,
    maxAgeMs: 30 * DAY_MS,
    sensorPeriodMs: PERIOD_MS,
    rssBytes: () => 0,
  });
  return { telemetry, [Symbol.dispose]: () => database.close() };
}

/** As many windows as a day without a network leaves, and how fast they go once it is there. */
async function throughput(folder: string, windows: readonly WindowBody[]): Promise<Figure[]> {
  using opened = openIn(folder);
  const { telemetry } = opened;
  const startMs = performance.now();
  for (let count = 0; count < APPENDED; count += 1) record(telemetry, windows, count);
  const appendMs = performance.now() - startMs;
  const { pending } = telemetry.outbox.totals();
  const drainMs = await drain(telemetry);
  return [
    { name: 'outbox_append_per_s', value: (APPENDED * 1_000) / appendMs, unit: '1/s', better: 'higher' },
    { name: 'outbox_drain_per_s', value: (pending * 1_000) / drainMs, unit: '1/s', better: 'higher' },
  ];
}

function record({ recorder }: Telemetry, windows: readonly WindowBody[], index: number): void {
  const body = windows[index % windows.length];
  if (body !== undefined) recorder.window(body);
}

/** Sends all that waits to someone who acknowledges at once; packed and paced as over a real link. */
async function drain({ publisher, outbox }: Telemetry): Promise<number> {
  const stop = new AbortController();
  const uplink: Pick<Uplink, 'publishText'> = {
    publishText: async ({ kind, text }) => {
      packText(kind, text);
      const sent = [JSON.parse(text) as EventEnvelope | EventEnvelope[]].flat();
      const [first, last] = [sent[0], sent.at(-1)];
      if (first === undefined || last === undefined) return;
      publisher.acknowledged({ bootId: first.bootId, ranges: [[first.seq, last.seq]] });
      if (outbox.totals().pending === 0) stop.abort();
    },
  };
  const startMs = performance.now();
  await publisher.drain(createRecordSender(uplink, { fleet: 'lab', device: 'jetson-1' }), stop.signal);
  return performance.now() - startMs;
}

/** Bytes that are written in a day of windows of the default length, each acknowledged before the next. */
async function wear(windows: readonly WindowBody[]): Promise<Figure> {
  const figure = { name: 'outbox_disk_bytes_per_day', unit: 'B', better: 'lower' } as const;
  const { windowMs } = loadAgentConfig({ env: {}, flags: { device: 'jetson-1' } }).values.telemetry;
  const before = await writtenBytes();
  if (before === undefined)
    return { ...figure, value: null, reason: 'the kernel does not tell what is written' };
  await inFolder(async (folder) => {
    using opened = openIn(folder);
    const { telemetry } = opened;
    for (let count = 0; count < STEADY; count += 1) {
      record(telemetry, windows, count);
      telemetry.publisher.acknowledged({ bootId: '0000aaaa-0001', ranges: [[1, count + 2]] });
    }
  });
  const bytes = ((await writtenBytes()) ?? before) - before;
  return { ...figure, value: (bytes / STEADY) * (DAY_MS / windowMs) };
}

/** All that this process has written to files so far: of the journal and of what it is copied to. */
async function writtenBytes(): Promise<number | undefined> {
  const text = await readFile('/proc/self/io', 'utf8').catch(() => '');
  const bytes = /^wchar: (\d+)$/m.exec(text)?.[1];
  return bytes === undefined ? undefined : Number(bytes);
}

function shareOf(random: Random): number {
  return random.below(1_000) / 1_000;
}

/** A window as a camera of 25 frames a second leaves it: two levels, log-normal latencies, sensors of a Jetson. */
function windowOf(random: Random): WindowBody {
  const gatherer = createWindowGatherer();
  const device = createDeviceGatherer(PERIOD_MS);
  for (let frame = 0; frame < FRAMES; frame += 1) {
    const isFirst = shareOf(random) < SHARE_OF_FIRST;
    const profileMs = isFirst ? 12 : 20;
    const runMs = profileMs * Math.exp(0.12 * random.normal());
    gatherer.inference({
      pe: 'gpu',
      level: isFirst ? 4 : 5,
      latencyMs: runMs + Math.exp(random.normal() - 1),
      runMs,
      profileMs,
      energyJ: 0.004 * runMs,
      confidence: shareOf(random),
      missed: false,
      correct: undefined,
      nowMs: frame * 40,
    });
  }
  for (let atMs = 0; atMs < 10_000; atMs += PERIOD_MS) device.add(deviceSeen(random, atMs));
  return gatherer.take(
    {
      ...device.take(10_000),
      durationMs: 10_000,
      family: 'a'.repeat(64),
      desired: { epoch: 1, n: 12 },
      slowdown: 1.04,
      price: 0,
      drifting: false,
      requirement: { latencyMs: 50, missShare: 0.01, priority: 'temperature,latency,accuracy,energy' },
      outboxRecords: 1,
      outboxAgeMs: 10_000,
    },
    10_000,
  );
}

function deviceSeen(
  random: Random,
  atMs: number,
): Parameters<ReturnType<typeof createDeviceGatherer>['add']>[0] {
  const powerW = 6 + random.normal();
  return {
    rssBytes: 3e8 + Math.round(1e6 * shareOf(random)),
    queue: 0,
    reading: {
      atMs,
      tempC: 61.5 + Math.round(2 * shareOf(random)) / 2,
      hottestZone: 'tj',
      powerW,
      energyJ: powerW,
      energyOverMs: PERIOD_MS,
      powerQuality: 'measured',
      powerScope: undefined,
      powerSource: 'VDD_IN',
      gpuLoad: shareOf(random),
      gpuFreqHz: 918e6,
      cpuFreqHz: 1_510_400_000,
      cpuBusy: shareOf(random) / 4,
      memAvailableBytes: 3e9 + Math.round(1e7 * shareOf(random)),
      psi: { cpu: 0.01, memory: 0, memoryFull: 0 },
      powerMode: '15W',
      throttledBy: [],
    },
  };
}
