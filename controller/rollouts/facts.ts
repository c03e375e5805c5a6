import type { InstallReport, Order } from '../../shared/protocol/release.ts';
import type { Measurement } from '../store/rollout-store.ts';

/** What is known now of a device of a rollout. */
export interface DeviceFacts {
  /** It is in the fleet and, of a dynamic rollout, still selected. */
  readonly isTarget: boolean;
  readonly isOnline: boolean;
  /** Another rollout of this kind that has it and is not over. */
  readonly busyWith?: string | undefined;
  /** Its order of this kind, whatever rollout it is of. */
  readonly order?: Order | undefined;
  /** What it said last of an order of this kind, whatever rollout it is of. */
  readonly install?: InstallReport | undefined;
  /** Of the family.json that it serves. */
  readonly familySha256?: string | undefined;
  /** Operating points on a GPU that can be used; undefined where it has reported none at all. */
  readonly gpuPoints?: number | undefined;
  /** Length of its windows of telemetry. */
  readonly windowMs: number;
}

/** What an advance goes by. */
export interface Facts {
  /** Wall clock. It may jump: it is only shown. */
  readonly now: number;
  /** Monotonic time since the advance before, 0 after a start of the controller. */
  readonly elapsedMs: number;
  /** Orders may be given: there are no maintenance windows, or one is open. */
  readonly mayOrder: boolean;
  readonly of: (device: string) => DeviceFacts;
  /** Of a dynamic rollout: devices that are selected and not in it. */
  readonly joining: readonly string[];
  /** What was measured of the gates last. */
  readonly measured?: Measurement | undefined;
}
