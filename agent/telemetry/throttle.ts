import type { EventBody } from '../../shared/protocol/event.ts';
import type { SensorReading } from '../sensors/reading.ts';

/** A device that is at its limit slows down and recovers every few seconds: that is one spell, not many. */
const SPELL_ENDS_MS = 10_000;
/** Names in a reason; a board has a cooling device for every processor. */
const MAX_NAMES = 8;

export type ThrottleEvent = Extract<EventBody, { kind: 'throttle' }>;

/** Tells when the device begins to slow itself down, and when it has not done so for a while. */
export type ThrottleWatch = (reading: Pick<SensorReading, 'throttledBy' | 'atMs'>) => void;

/** Makes a watch over readings of the sensors. */
export function createThrottleWatch(event: (body: ThrottleEvent) => void): ThrottleWatch {
  let lastMs: number | undefined;
  return ({ throttledBy, atMs }) => {
    // What cannot be read says neither the one nor the other.
    if (throttledBy === undefined) return;
    if (throttledBy.length > 0) {
      const reason = `the kernel slows down ${namesOf(throttledBy)}`;
      if (lastMs === undefined) event({ kind: 'throttle', state: 'begins', reason });
      lastMs = atMs;
    } else if (lastMs !== undefined && atMs - lastMs >= SPELL_ENDS_MS) {
      lastMs = undefined;
      event({ kind: 'throttle', state: 'ends', reason: 'all runs at full speed again' });
    }
  };
}

function namesOf(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).map((name) => name.slice(0, 64));
  const more = names.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
