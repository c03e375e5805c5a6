import {
  type EnergyQuality,
  GAUGES,
  type Gauge,
  type GaugeName,
  type WindowBody,
} from '../../shared/protocol/window.ts';
import type { SensorReading } from '../sensors/reading.ts';
import { createGaugeGatherer } from './gauge.ts';

/** What is known of the device at one moment: its sensors, and the agent itself. */
export interface DeviceSeen {
  readonly reading: SensorReading;
  /** Memory of the agent. */
  readonly rssBytes: number;
  /** Frames and requests that wait. */
  readonly queue: number;
}

/** What a window says of the device between its begin and its end. */
export type DeviceWindow = Pick<WindowBody, 'gauges' | 'energyJ' | 'energyMs' | 'energyQuality'>;

/** Gathers what the sensors say until `take` closes the window and begins the next. */
export interface DeviceGatherer {
  add(seen: DeviceSeen): void;
  /** @param nowMs monotonic */
  take(nowMs: number): DeviceWindow;
}

/** A reading counts for so many periods when none follows. */
const HOLDS_PERIODS = 3;

/** @param periodMs how often the sensors are read */
export function createDeviceGatherer(periodMs: number): DeviceGatherer {
  const gauges = GAUGES.map((name) => ({ name, of: createGaugeGatherer(HOLDS_PERIODS * periodMs) }));
  let energy = noEnergy();
  return {
    add: (seen) => {
      const values = valuesOf(seen);
      for (const { name, of } of gauges) of.add(values[name], seen.reading.atMs);
      energy = withEnergy(energy, seen.reading);
    },
    take: (nowMs) => {
      const known = gauges.flatMap(({ name, of }): [GaugeName, Gauge][] => {
        const gauge = of.take(nowMs);
        return gauge === undefined ? [] : [[name, gauge]];
      });
      const used = energy;
      energy = noEnergy();
      return {
        ...(known.length === 0 ? {} : { gauges: Object.fromEntries(known) }),
        ...(used.energyMs === 0 ? {} : used),
      };
    },
  };
}

function valuesOf({ reading, rssBytes, queue }: DeviceSeen): Record<GaugeName, number | undefined> {
  return {
    powerW: reading.powerW,
    tempC: reading.tempC,
    cpuBusy: reading.cpuBusy,
    gpuBusy: reading.gpuLoad,
    cpuFreqHz: reading.cpuFreqHz,
    gpuFreqHz: reading.gpuFreqHz,
    memAvailableBytes: reading.memAvailableBytes,
    cpuPressure: reading.psi?.cpu,
    rssBytes,
    queue,
  };
}

interface Energy {
  readonly energyJ: number;
  readonly energyMs: number;
  readonly energyQuality: EnergyQuality;
}

function noEnergy(): Energy {
  return { energyJ: 0, energyMs: 0, energyQuality: 'unknown' };
}

/** A sum is known as the worse of its parts is. */
function withEnergy(
  { energyJ, energyMs, energyQuality }: Energy,
  { energyJ: usedJ, energyOverMs = 0, powerQuality }: SensorReading,
): Energy {
  const isKnown = usedJ !== undefined && usedJ >= 0 && Number.isFinite(usedJ) && energyOverMs > 0;
  if (!isKnown || powerQuality === 'unknown') {
    return { energyJ, energyMs, energyQuality };
  }
  return {
    energyJ: energyJ + usedJ,
    energyMs: energyMs + energyOverMs,
    energyQuality: energyQuality === 'modelled' ? 'modelled' : powerQuality,
  };
}
