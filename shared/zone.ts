import { AppError } from './errors.ts';

/** A time zone: what the clocks there show. */
export interface Zone {
  readonly name: string;
  /** By how many milliseconds local time is ahead of UTC at a time. */
  offsetMsAt(ts: number): number;
}

const UTC: Zone = { name: 'UTC', offsetMsAt: () => 0 };
/** Making one takes longer than a hundred uses of it, and tens of kilobytes. */
const zones = new Map<string, Zone>();
/** A name may be written in any case, and is asked for by anybody: they are not remembered without end. */
const MAX_ZONES = 256;

/**
 * The time zone of an IANA name, from the time zone data of Node.
 * @param what names the value in the error
 * @throws AppError `usage` when there is none of that name
 */
export function zoneOf(name: string, what = 'time zone'): Zone {
  const known = name === UTC.name ? UTC : zones.get(name);
  if (known !== undefined) return known;
  const format = formatOf(name, what);
  const zone: Zone = {
    name,
    offsetMsAt: (ts) => {
      const seconds = Math.floor(ts / 1_000) * 1_000;
      const part: Record<string, number> = {};
      for (const { type, value } of format.formatToParts(seconds)) part[type] = Number(value);
      const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
      return Date.UTC(year, month - 1, day, hour, minute, second) - seconds;
    },
  };
  if (zones.size >= MAX_ZONES) zones.clear();
  zones.set(name, zone);
  return zone;
}

function formatOf(timeZone: string, what: string): Intl.DateTimeFormat {
  const digits = 'numeric';
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: digits,
      month: digits,
      day: digits,
      hour: digits,
      minute: digits,
      second: digits,
    });
  } catch (cause) {
    throw new AppError(
      'usage',
      `${what}: '${timeZone}' is not a time zone; write for example UTC or Europe/Berlin`,
      { cause },
    );
  }
}
