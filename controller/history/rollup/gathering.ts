import { fromWire, type WireWindow } from '../../../shared/protocol/window-wire.ts';
import { floorTo, ROW_MS } from '../read/plan.ts';
import type { RawRow } from '../read/source.ts';
import { addWindow, emptySummary, type Summary } from '../summary/summary.ts';

/** What is gathered before it is written, at most. */
export interface GatheringLimits {
  readonly windows: number;
  /** Minutes of devices, of all groups together, and of the fleet: each makes up to three rows. */
  readonly minutes: number;
  /** What it takes in memory, nearly all of it in sketches: usually a kilobyte each, at worst 64. */
  readonly bytes: number;
}

export const GATHERING_LIMITS: GatheringLimits = {
  windows: 20_000,
  minutes: 10_000,
  bytes: 96 * 1024 * 1024,
};

/** Summaries by the number of the device's series, then by the begin of the minute. */
export type Minutes = Map<number, Map<number, Summary>>;

/** Windows that were read since the last transaction, added up. */
export class Gathering {
  readonly minutes: Minutes = new Map();
  windows = 0;
  /** Windows that could not be read to their end. */
  damaged = 0;
  #minutes = 0;
  readonly #starts = new Set<number>();
  readonly #limits: GatheringLimits;
  readonly #merged: number;
  readonly #bytesBefore = bytesOfThread();
  #bytes = 0;

  /** @param merged how many series there are besides those of devices */
  constructor(limits: GatheringLimits, merged: number) {
    this.#limits = limits;
    this.#merged = merged;
  }

  /** Whether it should be written before more is added. */
  get isFull(): boolean {
    const { windows, minutes, bytes } = this.#limits;
    const rows = this.#minutes + this.#starts.size * this.#merged;
    return this.windows >= windows || rows >= minutes || this.#bytes >= bytes;
  }

  /** Looks how much memory it takes: not for every window. */
  weigh(): void {
    this.#bytes = bytesOfThread() - this.#bytesBefore;
  }

  /** Adds a window. @returns how many operating points were merged, as a measure of the work */
  add({ device, at, flags, body }: RawRow): number {
    this.windows += 1;
    try {
      const window = fromWire(JSON.parse(body) as WireWindow);
      const summary = this.#minuteOf(device, floorTo(at, ROW_MS.minute));
      addWindow(summary, window, flags);
      return 1 + window.points.length;
    } catch {
      // It was checked when it came in: the file is damaged. All later windows must not wait for this one.
      this.damaged += 1;
      return 1;
    }
  }

  #minuteOf(device: number, start: number): Summary {
    let minutes = this.minutes.get(device);
    if (minutes === undefined) {
      minutes = new Map();
      this.minutes.set(device, minutes);
    }
    let summary = minutes.get(start);
    if (summary === undefined) {
      summary = emptySummary();
      minutes.set(start, summary);
      this.#starts.add(start);
      this.#minutes += 1;
    }
    return summary;
  }
}

/** Memory of this thread's buffers, garbage included: sketches lie in buffers. */
function bytesOfThread(): number {
  return process.memoryUsage().arrayBuffers;
}
