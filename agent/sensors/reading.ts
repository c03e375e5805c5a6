import type { PowerScope } from '../../shared/power/meter.ts';
import type { PowerQuality } from './energy.ts';
import type { Pressure } from './memory.ts';

/** What the sensors say at one moment. What is undefined is not known: never zero in its place. */
export interface SensorReading {
  /** Monotonic milliseconds at which the reading was complete. */
  readonly atMs: number;
  /** Temperature of the hottest zone, degrees Celsius. */
  readonly tempC: number | undefined;
  /** Its name, in one form on all releases: `cpu`, `gpu`, `tj`. */
  readonly hottestZone: string | undefined;
  readonly powerW: number | undefined;
  /** Energy since the reading before. */
  readonly energyJ: number | undefined;
  /** Milliseconds in which `energyJ` was used, up to `atMs` or a little before. */
  readonly energyOverMs: number | undefined;
  readonly powerQuality: PowerQuality;
  /** What the power is of; undefined where it is modelled or unknown. */
  readonly powerScope: PowerScope | undefined;
  /** Where the power comes from, for people. */
  readonly powerSource: string | undefined;
  /** Busy share of the GPU, 0..1. */
  readonly gpuLoad: number | undefined;
  readonly gpuFreqHz: number | undefined;
  /** Of the fastest processor. */
  readonly cpuFreqHz: number | undefined;
  /** Busy share of all processors since the reading before, 0..1. */
  readonly cpuBusy: number | undefined;
  readonly memAvailableBytes: number | undefined;
  readonly psi: Pressure | undefined;
  /** What the kernel slows down to cool it, by name; empty when nothing. */
  readonly throttledBy: readonly string[] | undefined;
  /** A Jetson's power mode by name. */
  readonly powerMode: string | undefined;
}
