import { createReadCore } from '../../controller/history/read/core.ts';
import { createRollUpCore } from '../../controller/history/rollup/roll-up.ts';
import { openHistoryDatabase } from '../../controller/history/thread/database.ts';
import { createCommitCore } from '../../controller/history/write/commit.ts';
import { invariant } from '../../shared/errors.ts';
import { packText } from '../../shared/protocol/messages.ts';
import { seededRandom } from '../../shared/random.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { mean } from '../../shared/statistics.ts';
import { temporaryFolder } from '../support/temp.ts';
import { demoWireBytes } from './history-demo.ts';
import { FLEET_END, makeFleetHistory } from './history-fleet.ts';
import {
  bodyText,
  deviceName,
  envelopeText,
  type SimulatedWindow,
  simulateWindow,
  WINDOW_MS,
} from './history-windows.ts';
import { type Figure, judged } from './report.ts';

const DEVICES = 10;
/** Of each device. */
const WINDOWS = 120;
const COMMIT_PACKETS = 500;
/** Several windows lie in each of them, and several of them in an hour. */
const BUCKET_MS = 600_000;

const WIRE_BAR_BYTES = 1_500;
const ERROR_BAR = 0.01;

/** What a window and a row of the roll-ups weigh, and how exact percentiles out of them are. */
export async function sizeFigures(): Promise<Figure[]> {
  const bytes = { unit: 'B', better: 'lower' } as const;
  const windows = simulate();
  const single = windows.map(({ message }) => message.byteLength);
  const history = await historyFigures(windows);
  return [
    judged({ name: 'window_wire_bytes', value: await demoWireBytes(), ...bytes, bar: WIRE_BAR_BYTES }),
    judged({ name: 'window_wire_bytes_jetson', value: mean(single), ...bytes, bar: WIRE_BAR_BYTES }),
    ...history,
    ...(await rollUpFigures()),
  ];
}

interface Sent extends SimulatedWindow {
  readonly device: string;
  /** As it is published. */
  readonly message: Uint8Array;
}

/** Windows of several devices, each under a load of its own, by their time. */
function simulate(): Sent[] {
  const random = seededRandom(3);
  return Array.from({ length: DEVICES * WINDOWS }, (_, index) => {
    const device = deviceName(index % DEVICES);
    const seq = Math.floor(index / DEVICES) + 1;
    const window = simulateWindow(random, { load: 1 + (index % DEVICES) / 5 });
    const ts = FLEET_END - (WINDOWS - seq) * WINDOW_MS;
    const message = packText('telemetry', envelopeText({ device, seq, ts }, bodyText(window.body)));
    return { ...window, device, message: Buffer.from(message) };
  });
}

/** Stores windows as the controller does, and asks for their percentiles before they are rolled up and after. */
async function historyFigures(windows: readonly Sent[]): Promise<Figure[]> {
  await using folder = await temporaryFolder();
  const sqlite = openHistoryDatabase(folder.path);
  try {
    commitAll(sqlite, windows);
    const diskBytes = bytesOf(sqlite, ['windows', 'windows_by_device_at']) / windows.length;
    const before = largestError(sqlite, windows);
    for (const _ of createRollUpCore(sqlite).rollUp(new Map()));
    const after = largestError(sqlite, windows);
    return [
      { name: 'disk_bytes_per_window', value: diskBytes, unit: 'B', better: 'lower' },
      judged({
        name: 'percentile_error_max',
        value: Math.max(before, after),
        unit: 'ratio',
        better: 'lower',
        bar: ERROR_BAR,
      }),
    ];
  } finally {
    sqlite.close();
  }
}

function commitAll(sqlite: Sqlite, windows: readonly Sent[]): void {
  const core = createCommitCore(sqlite);
  for (let from = 0; from < windows.length; from += COMMIT_PACKETS) {
    const packets = windows
      .slice(from, from + COMMIT_PACKETS)
      .map(({ device, message }) => ({ device, kind: 'telemetry' as const, bytes: message }));
    const { windows: stored } = core.commit(packets, FLEET_END);
    invariant(stored === packets.length, `${packets.length} windows were to be stored, ${stored} are`);
  }
}

/** Bytes of pages that tables and indices take. */
function bytesOf(sqlite: Sqlite, names: readonly string[]): number {
  const pages = sqlite.prepare<[string], number>('SELECT sum(pgsize) FROM dbstat WHERE name = ?').pluck();
  return names.reduce((sum, name) => sum + (pages.get(name) ?? 0), 0);
}

/** What is asked for, and the latencies of which it is the percentile. */
interface Case {
  readonly devices: readonly string[] | undefined;
  readonly since: number;
  readonly latenciesMs: Float64Array;
}

/** Largest relative error of any percentile of latency: of a device, of the fleet, of a part of the time. */
function largestError(sqlite: Sqlite, windows: readonly Sent[]): number {
  const core = createReadCore(sqlite);
  let largest = 0;
  for (const { devices, since, latenciesMs } of casesOf(windows)) {
    for (const percent of PERCENTS) {
      const query = { metric: 'latencyMs', aggregate: `p${percent}`, since, until: FLEET_END } as const;
      const { series } = core.query({ query, devices, now: FLEET_END });
      const rank = Math.floor(1 + (percent / 100) * (latenciesMs.length - 1));
      const exact = latenciesMs[rank - 1] ?? Number.NaN;
      const found = series[0]?.points[0]?.value ?? Number.NaN;
      largest = Math.max(largest, Math.abs(found - exact) / exact);
    }
  }
  return largest;
}

/** 1 to 99, and 99.9. */
const PERCENTS = [...Array.from({ length: 99 }, (_, index) => index + 1), 99.9];

function casesOf(windows: readonly Sent[]): Case[] {
  const begin = FLEET_END - WINDOWS * WINDOW_MS;
  const caseOf = (devices: readonly string[] | undefined, since: number): Case => {
    const first = Math.round((since - begin) / WINDOW_MS) * DEVICES;
    const own = windows
      .slice(first)
      .filter(({ device }) => devices === undefined || devices.includes(device))
      .flatMap(({ latenciesMs }) => latenciesMs);
    return { devices, since, latenciesMs: Float64Array.from(own).sort() };
  };
  return [
    caseOf(undefined, begin),
    caseOf(undefined, FLEET_END - BUCKET_MS),
    caseOf([deviceName(0)], begin),
    caseOf([deviceName(1), deviceName(DEVICES - 1)], begin),
  ];
}

/** Bytes of disk per row of each roll-up, of a fleet whose devices use two levels. */
async function rollUpFigures(): Promise<Figure[]> {
  await using folder = await temporaryFolder();
  makeFleetHistory(folder.path, DEVICES);
  const sqlite = openHistoryDatabase(folder.path);
  try {
    return (['minute', 'hour', 'day'] as const).map((table) => {
      const rows = sqlite.prepare<[], number>(`SELECT count(*) FROM rollup_${table}`).pluck().get() ?? 0;
      const value = bytesOf(sqlite, [`rollup_${table}`]) / rows;
      return { name: `disk_bytes_per_rollup_row_${table}`, value, unit: 'B', better: 'lower' };
    });
  } finally {
    sqlite.close();
  }
}
