import { AppError } from '../../shared/errors.ts';
import { formatDurationMs } from '../../shared/units.ts';
import { zoneOf } from '../../shared/zone.ts';
import { minutesOfCron, nextByCron } from '../schedule.ts';
import type { Maintenance } from '../store/rollout-store.ts';

const MINUTE_MS = 60_000;
/** Longer windows follow each other: that is no window. */
const MAX_LENGTH_MS = 86_400_000;

/** Tells when orders may be given. */
export interface MaintenanceClock {
  isOpen(now: number): boolean;
  /** When the next window opens, by the machine's clock. */
  nextTs(): number;
}

/**
 * Checks what was asked for.
 * @throws AppError `usage` when the expression or the zone is none, or the length makes no sense
 */
export function maintenanceOf(asked: {
  readonly cron: string;
  readonly zone?: string;
  readonly lengthMs: number;
}): Maintenance {
  const { cron, zone = 'UTC', lengthMs } = asked;
  zoneOf(zone, '--window-zone');
  if (cron.trim().split(/\s+/).length !== 5) {
    throw new AppError('usage', `--window '${cron}': five fields are wanted, for example '0 2 * * *'`);
  }
  if (lengthMs < MINUTE_MS || lengthMs > MAX_LENGTH_MS) {
    const text = formatDurationMs(lengthMs);
    throw new AppError('usage', `--window-length: ${text} is not between 1m and 24h`);
  }
  try {
    nextByCron(cron, zone);
  } catch (cause) {
    throw new AppError('usage', `--window '${cron}': not a cron expression that ever comes`, { cause });
  }
  return { cron: cron.trim(), zone, lengthMs };
}

/**
 * The clock of maintenance windows. It looks at each minute of the past window's length once: a window that is open
 * already when a rollout starts counts.
 */
export function createMaintenanceClock({ cron, zone, lengthMs }: Maintenance): MaintenanceClock {
  const fits = minutesOfCron(cron, zone);
  let openedTs = Number.NEGATIVE_INFINITY;
  let checkedTs = Number.NEGATIVE_INFINITY;
  const look = (minuteTs: number): void => {
    if (minuteTs < checkedTs) {
      openedTs = Number.NEGATIVE_INFINITY;
      checkedTs = Number.NEGATIVE_INFINITY;
    }
    const seenTs = Math.floor(Math.max(minuteTs - lengthMs, checkedTs) / MINUTE_MS) * MINUTE_MS;
    for (let ts = seenTs + MINUTE_MS; ts <= minuteTs; ts += MINUTE_MS) if (fits(ts)) openedTs = ts;
    checkedTs = minuteTs;
  };
  return {
    isOpen: (now) => {
      const minuteTs = Math.floor(now / MINUTE_MS) * MINUTE_MS;
      if (minuteTs !== checkedTs) look(minuteTs);
      return now >= openedTs && now < openedTs + lengthMs;
    },
    nextTs: () => nextByCron(cron, zone),
  };
}
