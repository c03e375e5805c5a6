import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { RejectReason } from '../../shared/protocol/messages.ts';

/** Why something that came in was dropped. */
export type DropReason =
  | RejectReason
  /** More came in than can be stored now; agents send again. */
  | 'overload'
  /** A record that the history will never take; it must not hold up those behind it. */
  | 'not-storable'
  /** More devices than the controller keeps. */
  | 'too-many-devices';

export interface Rejects {
  /** @param records how many were dropped; one when left out */
  count(reason: DropReason, detail: string, records?: number): void;
  counts(): Record<string, number>;
}

/** A broken device must not fill the log. */
const LOG_EVERY_MS = 60_000;

/** Counts what is dropped, by reason, and logs each reason at most once a minute. */
export function createRejects({ clock, log }: { clock: Clock; log: Logger }): Rejects {
  const counts = new Map<string, number>();
  const loggedMs = new Map<string, number>();
  return {
    count: (reason, detail, records = 1) => {
      const total = (counts.get(reason) ?? 0) + records;
      counts.set(reason, total);
      const nowMs = clock.monoMs();
      if (nowMs - (loggedMs.get(reason) ?? Number.NEGATIVE_INFINITY) < LOG_EVERY_MS) return;
      loggedMs.set(reason, nowMs);
      log.warn({ reason, detail, total }, 'a message was dropped');
    },
    counts: () => Object.fromEntries(counts),
  };
}
