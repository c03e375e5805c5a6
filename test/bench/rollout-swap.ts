import { join } from 'node:path';
import { rehearseFamily } from '../../models/rehearse/family.ts';
import { connectMqtt, type MqttConnection } from '../../shared/mqtt.ts';
import { decodeMessage } from '../../shared/protocol/messages.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import { fromWire } from '../../shared/protocol/window-wire.ts';
import { Sketch } from '../../shared/sketch.ts';
import { until } from '../chaos/until.ts';
import { type Figure, judged } from './report.ts';
import { BUNDLED } from './rollout-families.ts';
import { type BenchFleet, startBenchFleet } from './rollout-fleet.ts';

const FRAME_RATE = 50;
const WINDOW_MS = 500;
const SWAPS = 3;
/** Of the same family, before anything is ordered: what is usual. */
const QUIET_WINDOWS = 8;
/** What counts as around an activation, to both sides. */
const AROUND_MS = 500;

interface SeenWindow {
  readonly fromMs: number;
  readonly toMs: number;
  readonly body: WindowBody;
}

interface Swap {
  /** Frames without an answer around the activation. */
  readonly lost: number;
  /** From the order to that. */
  readonly lostBefore: number;
  /** In as long a time before the order: what the machine loses anyway. */
  readonly lostQuiet: number;
  /** From the order to the end: frames that were due, and of which nothing was told; up to two are under way at its ends. */
  readonly unaccounted: number;
  readonly delayMs: number;
}

/** What a device that answers frames loses, and how long one of them waits, when another family takes over. */
export async function swapFigures(): Promise<Figure[]> {
  await using fleet = await startBenchFleet();
  const windows: SeenWindow[] = [];
  await using _watching = await watchWindows(fleet.brokerUrl, windows);
  const load = ['--frame-rate', String(FRAME_RATE), '--window', `${WINDOW_MS}ms`];
  await fleet.startAgent('real', fleet.brokerUrl, '--family', BUNDLED, ...load);
  await fleet.untilDevices(1, true);
  const swaps: Swap[] = [];
  for (let swap = 0; swap < SWAPS; swap += 1) swaps.push(await swapTo(fleet, 3 + swap, windows));
  const count = (name: string, of: (swap: Swap) => number): Figure => ({
    name,
    value: swaps.reduce((sum, swap) => sum + of(swap), 0),
    unit: '1',
    better: 'lower',
  });
  const most = (of: (swap: Swap) => number): number => Math.max(...swaps.map(of));
  const { value, ...lost } = count('frames_lost', (swap) => swap.lost);
  return [
    judged({ ...lost, value: value ?? Number.NaN, bar: 0 }),
    count('frames_lost_quiet', ({ lostQuiet }) => lostQuiet),
    count('frames_lost_preparing', ({ lostBefore }) => lostBefore),
    { name: 'frames_unaccounted', value: most((swap) => swap.unaccounted), unit: '1', better: 'lower' },
    { name: 'activation_delay_ms', value: most(({ delayMs }) => delayMs), unit: 'ms', better: 'lower' },
  ];
}

async function watchWindows(url: string, windows: SeenWindow[]): Promise<MqttConnection> {
  const connection = await connectMqtt({
    url,
    clientId: 'bench-watches',
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    onMessage: (topic, bytes) => {
      const message = decodeMessage(topic, bytes);
      if (!message.ok || message.kind !== 'telemetry') return;
      for (const { monoMs, body } of [message.payload].flat()) {
        const window = fromWire(body);
        windows.push({ fromMs: monoMs - window.durationMs, toMs: monoMs, body: window });
      }
    },
  });
  await connection.subscribe([topicOf('telemetry', { fleet: '+', device: '+' })]);
  return connection;
}

async function swapTo(fleet: BenchFleet, version: number, windows: SeenWindow[]): Promise<Swap> {
  const folder = join(fleet.dir, `good-${version}`);
  const fault = { kind: 'none' } as const;
  const { sha256 } = await rehearseFamily({ source: BUNDLED, fault, folder, replace: false, version });
  await fleet.run('family', 'publish', folder);
  const quiet = await seen(windows, windows.length, QUIET_WINDOWS);
  const orderedMs = quiet.at(-1)?.toMs ?? 0;
  const { id } = await fleet.begin('fashion-mnist', { version });
  await fleet.untilCompleted(id);
  const isNew = ({ body }: SeenWindow): boolean => body.family === sha256;
  await until('windows of the new family', () => windows.filter(isNew).length >= QUIET_WINDOWS);
  const atMs = windows.find(isNew)?.fromMs ?? 0;
  const around = windows.filter(({ fromMs, toMs }) => toMs > atMs - AROUND_MS && fromMs < atMs + AROUND_MS);
  const before = windows.filter(({ fromMs, toMs }) => fromMs >= orderedMs && toMs <= atMs - AROUND_MS);
  const longestMs = Math.max(
    ...around.flatMap(({ body }) => body.points.map(({ latencyMs }) => latencyMs.max)),
  );
  const all = windows.filter(({ fromMs }) => fromMs >= orderedMs);
  return {
    lost: lostIn(around),
    lostBefore: lostIn(before),
    lostQuiet: lostIn(quiet.slice(-around.length)),
    unaccounted: dueIn(all) - answeredIn(all) - lostIn(all),
    delayMs: longestMs - medianMs(quiet),
  };
}

/** Waits for the next windows. */
async function seen(windows: SeenWindow[], from: number, count: number): Promise<SeenWindow[]> {
  await until(`${count} windows`, () => windows.length >= from + count);
  return windows.slice(from, from + count);
}

/** Frames that the device says it did not answer. */
function lostIn(windows: readonly SeenWindow[]): number {
  return sum(windows, ({ skipped, unreadable, failed, sheds = 0 }) => skipped + unreadable + failed + sheds);
}

function answeredIn(windows: readonly SeenWindow[]): number {
  return sum(windows, ({ points }) => points.reduce((all, { inferences }) => all + inferences, 0));
}

function dueIn(windows: readonly SeenWindow[]): number {
  return Math.round(sum(windows, ({ durationMs }) => (durationMs / 1_000) * FRAME_RATE));
}

function sum(windows: readonly SeenWindow[], of: (body: WindowBody) => number): number {
  return windows.reduce((total, { body }) => total + of(body), 0);
}

function medianMs(windows: readonly SeenWindow[]): number {
  const all = new Sketch();
  for (const { body } of windows) {
    for (const { latencyMs } of body.points)
      if (latencyMs.count > 0) all.merge(Sketch.decode(latencyMs.sketch));
  }
  return all.quantile(0.5) ?? 0;
}
