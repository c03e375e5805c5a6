import type { Clock } from '../../shared/clock.ts';
import { openCooling } from './cooling.ts';
import { openCpu, openCpuFrequency } from './cpu.ts';
import { type GpuReading, MAX_FREQUENCY_HZ, openGpu } from './gpu.ts';
import { openMemory, openPressure, type Pressure } from './memory.ts';
import { judgePower, openPower, type PowerSample } from './power.ts';
import { isJetson, openPowerMode } from './power-mode.ts';
import type { Exec, Spawn } from './processes.ts';
import { type Printed, startTegrastats } from './tegrastats.ts';
import { createTemperature, type TemperatureSensor } from './temperature.ts';
import { createUnit, type Judged, type Source, type Unit, type UnitDeps } from './unit.ts';

export interface UnitsOptions {
  /** Where the file system begins. */
  readonly root: string;
  readonly clock: Clock;
  readonly periodMs: number;
  readonly exec: Exec;
  readonly spawn: Spawn;
}

/** Everything that is read, each supervised by itself. */
export interface Units {
  readonly temperature: TemperatureSensor;
  readonly power: Unit<PowerSample>;
  readonly gpu: Unit<GpuReading>;
  readonly cpu: Unit<number>;
  readonly cpuFrequency: Unit<number>;
  readonly memory: Unit<number>;
  readonly pressure: Unit<Pressure>;
  readonly powerMode: Unit<string>;
  /** What is slowed down to cool it. */
  readonly cooling: Unit<readonly string[]>;
  /** Whether the board is a Jetson. */
  readonly board: Unit<boolean>;
  /** Stands in for power, temperature and GPU where their files cannot be read. */
  readonly tegrastats: Unit<Printed>;
  /** The power in the line that it was read last. */
  readonly tegrastatsPower: Unit<PowerSample>;
}

/** A pebibyte: no device has that much. */
const MAX_MEMORY_BYTES = 2 ** 50;

/** Judges a number that need only be possible. */
function within(unit: string, max: number): (value: number) => Judged {
  return (value) => ({ value, raw: value, limits: { unit, min: 0, max } });
}

/** Makes the supervised sensors of a device; nothing is opened before it is read. */
export function createUnits({ root, clock, periodMs, exec, spawn }: UnitsOptions, deps: UnitDeps): Units {
  return {
    temperature: createTemperature(root, deps),
    power: createUnit({ name: 'power', open: () => openPower(root, clock), judge: judgePower }, deps),
    gpu: createUnit({ name: 'gpu', open: () => openGpu(root) }, deps),
    cpu: createUnit({ name: 'cpu', open: () => openCpu(root) }, deps),
    cpuFrequency: createUnit(
      { name: 'cpu frequency', open: () => openCpuFrequency(root), judge: within('Hz', MAX_FREQUENCY_HZ) },
      deps,
    ),
    memory: createUnit(
      { name: 'memory', open: () => openMemory(root), judge: within('bytes', MAX_MEMORY_BYTES) },
      deps,
    ),
    pressure: createUnit({ name: 'pressure', open: () => openPressure(root) }, deps),
    powerMode: createUnit({ name: 'power mode', open: () => openPowerMode(root, exec, clock) }, deps),
    cooling: createUnit({ name: 'cooling', open: () => openCooling(root) }, deps),
    board: createUnit({ name: 'board', open: async () => ({ read: () => isJetson(root) }) }, deps),
    ...tegrastatsUnits({ clock, periodMs, spawn }, deps),
  };
}

/** The power is judged by itself: when it is taken out, temperatures and load are still of use. */
function tegrastatsUnits(
  { clock, periodMs, spawn }: Pick<UnitsOptions, 'clock' | 'periodMs' | 'spawn'>,
  deps: UnitDeps,
) {
  let newest: Printed | undefined;
  const open = async (): Promise<Source<Printed>> => {
    const { read, close = () => undefined } = startTegrastats({ spawn, clock, intervalMs: periodMs });
    const keep = async (): Promise<Printed | undefined> => {
      newest = undefined;
      newest = await read();
      return newest;
    };
    return { read: keep, close };
  };
  const openPower = async (): Promise<Source<PowerSample>> => ({
    read: async () => (newest === undefined ? undefined : printedPower(newest)),
  });
  return {
    tegrastats: createUnit({ name: 'tegrastats', open }, deps),
    tegrastatsPower: createUnit({ name: 'tegrastats power', open: openPower, judge: judgePower }, deps),
  };
}

/** The power that tegrastats printed; undefined on a board of which it prints none. */
function printedPower({ atMs, watts, rails, scope }: Printed): PowerSample | undefined {
  if (watts === undefined) return undefined;
  return { atMs, watts, raw: watts, source: `tegrastats ${rails}`, scope, quality: 'measured' };
}
