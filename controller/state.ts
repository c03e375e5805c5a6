import { packageVersion } from '../shared/package.ts';
import type { ControllerState } from './api/schemas.ts';
import type { Parts } from './assembly.ts';
import type { ControllerFacts } from './metrics/metrics.ts';

/** What does not change while the controller runs. */
export type FixedState = Pick<ControllerState, 'fleet' | 'epoch' | 'startedTs'>;

/** The state of the controller for people. */
export async function stateOf(parts: Parts, fixed: FixedState): Promise<ControllerState> {
  const { history, rejects, devices, ingest, link } = parts;
  const { stalled, pendingBytes: _pendingBytes, ...totals } = ingest.state();
  const { windows, events, bytes } = await history.stats();
  return {
    version: packageVersion(),
    ...fixed,
    mqtt: { connected: link.connected() },
    devices: devices.count(),
    ingest: { ...totals, rejected: rejects.counts(), ...(stalled === undefined ? {} : { stalled }) },
    history: { windows, events, bytes },
  };
}

/** The state of the controller for Prometheus. */
export function factsOf(
  { rejects, devices, ingest, link, alerts, transfer, rollouts }: Parts,
  { fleet, epoch }: FixedState,
): ControllerFacts {
  const { stalled, ...totals } = ingest.state();
  return {
    ...{ version: packageVersion(), fleet, epoch },
    connected: link.connected(),
    devices: devices.count(),
    ingest: { ...totals, stalled: stalled !== undefined, rejected: rejects.counts() },
    transfer: transfer.stats(),
    rollouts: countBy(rollouts.list(), ({ state }) => state),
    alerts: alerts.firing(),
    notifications: alerts.notifications(),
  };
}

function countBy<T>(items: readonly T[], of: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[of(item)] = (counts[of(item)] ?? 0) + 1;
  return counts;
}
