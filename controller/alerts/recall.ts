import type { EventRow } from '../api/schemas.ts';
import type { EventRange } from '../history/read/events.ts';

/** Of a device that was cut off, events are hours old when they come; to look through many days takes long. */
const RECALL_MS = 6 * 3_600_000;
/** Newest events of each kind, at most: they are read while the controller starts. */
const LIMIT = 2_000;
/** What spells are made of. Boots come first: of one moment, the boot was before what it began with. */
const KINDS = ['boot', 'violation', 'throttle', 'drift'];

/**
 * Events that may be in the history and not in the spells that were stored: a controller that was killed
 * between the two heard of them, and is told of them by nobody again.
 * @returns oldest first
 */
export async function recallEvents(
  events: (range: EventRange) => Promise<readonly EventRow[]>,
  now: number,
): Promise<EventRow[]> {
  const range = { devices: undefined, since: now - RECALL_MS, until: Number.MAX_SAFE_INTEGER, limit: LIMIT };
  const found: EventRow[] = [];
  for (const kind of KINDS) {
    // Of one moment too the older come first.
    found.push(...[...(await events({ ...range, kind }))].reverse());
  }
  return found.sort((a, b) => a.ts - b.ts);
}
