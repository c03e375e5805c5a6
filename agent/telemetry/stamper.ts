import type { Clock } from '../../shared/clock.ts';
import type { ClockState } from '../../shared/protocol/envelope.ts';
import type { Stamp } from './outbox-store.ts';

/** The last time that is known to have passed, kept over restarts. */
export interface ClockFloor {
  load(): number;
  save(ts: number): void;
}

export interface Stamper {
  /** The moment now. A clock that shows less than what has already passed is `unsynced`. */
  now(): Stamp;
  /** The last time that is known to have passed, milliseconds since the epoch; an unset clock shows less. */
  lastKnownTs(): number;
  /** Wall clock less monotonic clock once the wall clock is trusted again after it was not; once per arrival. */
  arrivedOffsetMs(): number | undefined;
}

/** How often the floor is written down: flash wears, and an hour more or less does not matter to it. */
const SAVE_EVERY_MS = 600_000;

/**
 * Stamps records. A Jetson without a battery for its clock boots in the past until a time source is there:
 * the floor of the last known time tells, rows are marked, and they are dated again when time arrives.
 */
export function createStamper(clock: Clock, floor: ClockFloor): Stamper {
  const bootMs = clock.monoMs();
  let floorTs = floor.load();
  let savedTs = floorTs;
  let wasUnsynced = false;
  const stateAt = (ts: number): ClockState => {
    if (ts < floorTs) {
      wasUnsynced = true;
      return 'unsynced';
    }
    floorTs = ts;
    if (ts - savedTs >= SAVE_EVERY_MS) {
      savedTs = ts;
      saveFloor(floor, ts);
    }
    return 'synced';
  };
  return {
    now: () => {
      const ts = clock.now();
      return { ts, monoMs: clock.monoMs() - bootMs, clock: stateAt(ts) };
    },
    lastKnownTs: () => {
      stateAt(clock.now());
      return floorTs;
    },
    arrivedOffsetMs: () => {
      const ts = clock.now();
      if (!wasUnsynced || stateAt(ts) === 'unsynced') return undefined;
      wasUnsynced = false;
      return ts - (clock.monoMs() - bootMs);
    },
  };
}

/** A floor that cannot be written (disk full) is an older floor: no reason to lose the record that is stamped. */
function saveFloor(floor: ClockFloor, ts: number): void {
  try {
    floor.save(ts);
  } catch {
    // It is tried again when the next is due.
  }
}
