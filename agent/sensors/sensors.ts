import type { Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import {
  type EnergyModel,
  type EnergyUsed,
  energyBetween,
  modelledWatts,
  type PowerPoint,
} from './energy.ts';
import { type Exec, execProgram, type Spawn, spawnProgram } from './processes.ts';
import type { SensorReading } from './reading.ts';
import type { Printed } from './tegrastats.ts';
import { createTurns, type SensorHealth, type UnitDeps } from './unit.ts';
import { createUnits, type Units } from './units.ts';

export interface SensorsOptions {
  /** Where the file system begins: `sys`, `proc`, `etc` and `var` are below it. */
  readonly root?: string;
  readonly clock: Clock;
  readonly random: Random;
  /** How often `sample` is going to be called, milliseconds. */
  readonly periodMs: number;
  /** What is stated of a device without a power sensor. */
  readonly energyModel?: EnergyModel;
  /** A sensor's read that takes longer is abandoned, milliseconds. */
  readonly boundMs?: number;
  readonly exec?: Exec;
  readonly spawn?: Spawn;
  /** Called once for every change of a sensor's state. */
  readonly onHealth?: (health: SensorHealth) => void;
}

/** The sensors of one device. They have one reader: what was used between two readings is told once. */
export interface Sensors {
  /**
   * Reads all sensors; it never throws, and never takes much longer than a few bounds, whatever they do.
   * A call while another is under way gets the same reading.
   */
  sample(): Promise<SensorReading>;
  /** State of every sensor that was looked for. */
  health(): SensorHealth[];
  /** Ends what was started. */
  [Symbol.asyncDispose](): Promise<void>;
}

const BOUND_MS = 500;
const BACKOFF_CAP_MS = 60_000;
/** Sampled power further apart than so many periods says nothing of the time between. */
const MAX_GAP_PERIODS = 5;

/** Starts nothing by itself: sensors are looked for at the first reading, and again while they are missing. */
export function createSensors(options: SensorsOptions): Sensors {
  const { root = '/', clock, random, periodMs, boundMs = BOUND_MS, onHealth = () => undefined } = options;
  const { exec = execProgram, spawn = spawnProgram } = options;
  let activity: number | undefined;
  const deps: UnitDeps = {
    clock,
    random,
    boundMs,
    backoff: { firstMs: periodMs, capMs: Math.max(periodMs, BACKOFF_CAP_MS) },
    activity: () => activity,
    onHealth,
    hanging: { count: 0 },
    inTurn: createTurns(),
  };
  const units = createUnits({ root, clock, periodMs, exec, spawn }, deps);
  const read = readerOf(units, options, (busy) => {
    activity = busy;
  });
  let underWay: Promise<SensorReading> | undefined;
  return {
    sample: () => {
      underWay ??= read().finally(() => {
        underWay = undefined;
      });
      return underWay;
    },
    health: () => healthOf(units),
    [Symbol.asyncDispose]: async () => {
      for (const unit of Object.values(units)) unit.close();
      await underWay;
    },
  };
}

/** Reads all sensors once, and keeps what the next reading is a difference to. */
function readerOf(
  units: Units,
  { clock, periodMs, energyModel }: SensorsOptions,
  onActivity: (busy: number | undefined) => void,
): () => Promise<SensorReading> {
  const readTegrastats = fallback(units);
  let before: PowerPoint | undefined;
  return async () => {
    const { hottest, gpu, power, ...others } = await readParts(units);
    const { printed, printedPower } = await readTegrastats({ hottest, gpu, power });
    const [warmest, load] = [hottest ?? printed?.hottest, gpu ?? printed?.gpu];
    const busy = busier(others.cpuBusy, load?.load);
    onActivity(busy);
    const atMs = clock.monoMs();
    const point = power ?? printedPower ?? modelled(energyModel, busy, atMs);
    const used = point && energyBetween(before, point, MAX_GAP_PERIODS * periodMs);
    before = point ?? before;
    return {
      atMs,
      tempC: warmest?.tempC,
      hottestZone: warmest?.zone,
      ...powerFields(point, used),
      gpuLoad: load?.load,
      gpuFreqHz: load?.freqHz,
      ...others,
    };
  };
}

type Parts = Awaited<ReturnType<typeof readParts>>;
/** What tegrastats tells as well. */
type Printable = Pick<Parts, 'hottest' | 'gpu' | 'power'>;

async function readParts(units: Units) {
  const [hottest, power, gpu, cpuBusy, cpuFreqHz, memAvailableBytes, psi, powerMode, throttledBy] =
    await Promise.all([
      units.temperature.sample(),
      units.power.sample(),
      units.gpu.sample(),
      units.cpu.sample(),
      units.cpuFrequency.sample(),
      units.memory.sample(),
      units.pressure.sample(),
      units.powerMode.sample(),
      units.cooling.sample(),
    ]);
  return { hottest, power, gpu, cpuBusy, cpuFreqHz, memAvailableBytes, psi, powerMode, throttledBy };
}

interface Fallback {
  readonly printed?: Printed | undefined;
  readonly printedPower?: PowerPoint | undefined;
}

/** tegrastats runs on Jetsons only, and only while files do not tell what it tells. */
function fallback({ board, tegrastats, tegrastatsPower }: Units): (read: Printable) => Promise<Fallback> {
  let isTegra: boolean | undefined;
  return async ({ power, hottest, gpu }) => {
    isTegra ??= await board.sample();
    if (isTegra !== true || ![power, hottest, gpu].includes(undefined)) {
      tegrastats.release();
      return {};
    }
    const printed = await tegrastats.sample();
    const isPowerWanted = power === undefined && printed?.watts !== undefined;
    return { printed, printedPower: isPowerWanted ? await tegrastatsPower.sample() : undefined };
  };
}

function busier(cpuBusy: number | undefined, gpuLoad: number | undefined): number | undefined {
  const known = [cpuBusy, gpuLoad].filter((share) => share !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function modelled(
  model: EnergyModel | undefined,
  busy: number | undefined,
  atMs: number,
): PowerPoint | undefined {
  const watts = model === undefined || busy === undefined ? undefined : modelledWatts(model, busy);
  if (watts === undefined) return undefined;
  return { atMs, watts, source: 'energy model', quality: 'modelled', scope: undefined };
}

function powerFields(power: PowerPoint | undefined, used: EnergyUsed | undefined) {
  return {
    powerW: power?.watts,
    energyJ: used?.energyJ,
    energyOverMs: used?.overMs,
    powerQuality: power?.quality ?? 'unknown',
    powerScope: power?.scope,
    powerSource: power?.source,
  } as const;
}

/** What is not a sensor by itself, or stands in for one, is told of only where it matters. */
function healthOf({
  temperature,
  board,
  cooling,
  tegrastats,
  tegrastatsPower,
  ...others
}: Units): SensorHealth[] {
  const standIns = [tegrastats, tegrastatsPower].filter((unit) => unit.wasRead());
  const stuck = [board, cooling].filter((unit) => unit.health().state !== 'ok');
  const units = [...Object.values(others), ...standIns, ...stuck];
  return [...temperature.health(), ...units.map((unit) => unit.health())];
}
