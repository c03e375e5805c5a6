import { pino } from 'pino';
import type { AlertsConfig } from '../../controller/alerts/config.ts';
import { ALERTS_CONFIG } from '../../controller/alerts/config.ts';
import type { DeviceFacts, LatestWindow } from '../../controller/alerts/facts.ts';
import type { AlertNotification } from '../../controller/api/alert-schemas.ts';
import type { EventRow } from '../../controller/api/schemas.ts';
import { loadConfig } from '../../shared/config.ts';

export const quietLog = pino({ level: 'silent' });

/** The configuration as it is when nothing is set. */
export const ALERTS_DEFAULTS: AlertsConfig = loadConfig({ alerts: ALERTS_CONFIG }, { env: {}, flags: {} })
  .values.alerts;

/** A window in which all is well. */
export function latestAt(ts: number, change: Partial<LatestWindow> = {}): LatestWindow {
  return { ts, durationMs: 10_000, inferences: 100, misses: 0, requirement: { latencyMs: 50 }, ...change };
}

/** A device that sent a window just now. */
export function factsAt(ts: number, change: Partial<DeviceFacts> = {}): DeviceFacts {
  return {
    id: 'cam-1',
    firstSeenTs: ts - 3_600_000,
    identityConflict: false,
    latest: latestAt(ts),
    arrivedAgoMs: 0,
    report: undefined,
    ...change,
  };
}

/** An event as it stands in the history. */
export function eventAt(ts: number, body: EventRow['body'], device = 'cam-1'): EventRow {
  return { device, ts, kind: body.kind, body };
}

export function notificationOf(id: number, state: 'firing' | 'resolved' = 'firing'): AlertNotification {
  return {
    id: String(id),
    notification: `${id}-${state}`,
    fleet: 'lab',
    rule: 'throttled',
    device: 'cam-1',
    severity: 'warning',
    state,
    text: 'throttled: hot',
    sinceTs: 1,
    firedTs: 2,
    ...(state === 'resolved' ? { resolvedTs: 3 } : {}),
  };
}
