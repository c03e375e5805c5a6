import type { ClockState } from '../../../shared/protocol/envelope.ts';
import { FLAGS } from '../schema.ts';

/** A clock may be ahead of ours by so much; beyond it the device's time is not believed. */
const MAX_AHEAD_MS = 10 * 60_000;
/** A record may be so old: longer than any device keeps one in its outbox. */
const MAX_AGE_MS = 400 * 86_400_000;
/** What comes in so long after it ended is late. */
const LATE_MS = 5 * 60_000;

export interface Stamp {
  /** Wall clock and monotonic clock of the device at the same moment, milliseconds. */
  readonly ts: number;
  readonly monoMs: number;
  readonly clock: ClockState;
}

/**
 * When a record was, by its own clock or, where that cannot be believed, by the monotonic clock of its boot.
 * @param offsetMs wall clock (ours) at which the monotonic clock of the boot stood at zero, at the latest
 * @returns milliseconds since the epoch, whole, and the flags that it gives
 */
export function dateOf(
  { ts, monoMs, clock }: Stamp,
  receivedTs: number,
  offsetMs: number,
): { readonly ts: number; readonly flags: number } {
  const ageMs = receivedTs - ts;
  const isBelieved = clock === 'synced' && ageMs >= -MAX_AHEAD_MS && ageMs <= MAX_AGE_MS;
  const dated = Math.max(0, Math.round(isBelieved ? ts : monoMs + offsetMs));
  const late = receivedTs - dated > LATE_MS ? FLAGS.late : 0;
  return { ts: dated, flags: (isBelieved ? 0 : FLAGS.redated) | late };
}
