import { totalmem } from 'node:os';
import type { Clock } from '../../shared/clock.ts';

/** Below this much available memory a system begins to swap and to kill: a share of all of it, and bytes. */
const SHORT = { share: 0.05, bytes: 512 * 2 ** 20 };
/** What was given up made room: taken back at once it would be short again. */
const STAYS_SHORT_MS = 60_000;
const ENOUGH_RATIO = 2;

/** Whether memory runs short, with a memory of its own so that levels are not loaded and unloaded in turn. */
export interface MemoryWatch {
  /** Takes a reading in. @param availableBytes undefined where it is not known */
  reading(availableBytes: number | undefined): void;
  isShort(): boolean;
}

/** Makes a watch of a device with so much memory. */
export function createMemoryWatch(clock: Clock, totalBytes = totalmem()): MemoryWatch {
  const shortBytes = Math.min(SHORT.share * totalBytes, SHORT.bytes);
  let shortSinceMs: number | undefined;
  return {
    reading: (availableBytes) => {
      if (availableBytes === undefined) return;
      if (availableBytes < shortBytes) shortSinceMs = clock.monoMs();
      const isEnough = availableBytes >= ENOUGH_RATIO * shortBytes;
      if (isEnough && clock.monoMs() - (shortSinceMs ?? 0) >= STAYS_SHORT_MS) shortSinceMs = undefined;
    },
    isShort: () => shortSinceMs !== undefined,
  };
}
