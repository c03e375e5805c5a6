import type { ProcessingElement } from '../../shared/protocol/window.ts';

/** One thing that the runtime manager can choose: a level of the family on a processing element. */
export interface OperatingPoint {
  readonly pe: ProcessingElement;
  readonly level: number;
  /** Top-1, 0..1: the manifest's, or less after a drift alarm. */
  readonly accuracy: number;
  /** Median latency measured on this device, milliseconds. */
  readonly latencyMs: number;
  /** Energy of one inference above idle, joules, measured or modelled; undefined where nothing is known. */
  readonly energyJ?: number;
}

/** Operating points of one device, in the family's order, one processing element after the other. */
export type Profile = readonly OperatingPoint[];
