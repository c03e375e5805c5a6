import { zoneOf } from '../zone.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** The time zone of this machine, or of `TZ`: an IANA name; UTC where that is none. */
export function localZone(): string {
  // Whatever its type says: for a `TZ` that is none it is undefined.
  const zone: string | undefined = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  return zone ?? 'UTC';
}

/**
 * A time zone by its IANA name.
 * @throws AppError `usage` for a name that is not known
 */
export function parseZone(text: string, what: string): string {
  return zoneOf(text, what).name;
}

/** How far the clocks of a zone are ahead of UTC at a time, milliseconds in whole minutes. */
export function offsetMsAt(ts: number, zone: string): number {
  return Math.round(zoneOf(zone).offsetMsAt(ts) / MINUTE_MS) * MINUTE_MS;
}

/**
 * The time at which a zone's clocks show something.
 * @param wallMs what they show, as if it were UTC
 * @returns the first of two where clocks are set back; what an hour later would be where they skip it
 */
export function wallTime(wallMs: number, zone: string): number {
  const shown = (ts: number): number => ts + offsetMsAt(ts, zone);
  const before = wallMs - offsetMsAt(wallMs - DAY_MS, zone);
  const after = wallMs - offsetMsAt(wallMs + DAY_MS, zone);
  return shown(before) !== wallMs && shown(after) === wallMs ? after : before;
}

/** A time in ISO 8601 with the offset that the zone has then. */
export function formatTimeIn(ts: number, zone: string): string {
  if (!Number.isFinite(ts)) return '-';
  const offsetMs = offsetMsAt(ts, zone);
  const wall = new Date(ts + offsetMs).toISOString().slice(0, -1);
  return offsetMs === 0 ? `${wall}Z` : `${wall}${offsetText(offsetMs)}`;
}

function offsetText(offsetMs: number): string {
  const minutes = Math.abs(offsetMs) / MINUTE_MS;
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${offsetMs < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
