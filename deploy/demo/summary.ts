import type { DemoApi } from './api.ts';

/** What one device did in the demonstration. */
export interface DeviceSummary {
  readonly device: string;
  readonly inferences: number;
  readonly switches: number;
  readonly latencyMeanMs: number | null;
  /** Right answers over labelled frames, from each inference's own answer. */
  readonly accuracy: number | null;
  /** Windows that the agent recorded, by its own account. */
  readonly windowsSent: number;
  /** Windows that the history holds. */
  readonly windowsStored: number;
  readonly windowsMissing: number;
}

/** Asks the history what every device did since a time, and holds it against what the agents recorded. */
export async function summarise(
  api: DemoApi,
  sinceTs: number,
  sent: ReadonlyMap<string, number>,
): Promise<DeviceSummary[]> {
  const [inferences, switches, latency, accuracy, windows] = await Promise.all([
    api.perDevice('inferences', 'sum', sinceTs),
    api.perDevice('switches', 'sum', sinceTs),
    api.perDevice('latencyMs', 'mean', sinceTs),
    api.perDevice('accuracy', 'mean', sinceTs),
    api.perDevice('windows', 'count', sinceTs),
  ]);
  return [...sent].map(([device, windowsSent]) => {
    const windowsStored = windows.get(device) ?? 0;
    return {
      device,
      inferences: inferences.get(device) ?? 0,
      switches: switches.get(device) ?? 0,
      latencyMeanMs: latency.get(device) ?? null,
      accuracy: accuracy.get(device) ?? null,
      windowsSent,
      windowsStored,
      windowsMissing: Math.max(0, windowsSent - windowsStored),
    };
  });
}

/** The summary for people. */
export function summaryText(devices: readonly DeviceSummary[]): string {
  return devices
    .map(
      ({ device, inferences, switches, latencyMeanMs, accuracy, windowsSent, windowsMissing }) =>
        `${device.padEnd(10)} ${inferences} inferences, ${switches} switches, ` +
        `${latencyMeanMs?.toFixed(2) ?? '-'} ms on average, ` +
        `${accuracy === null ? '-' : (accuracy * 100).toFixed(1)} % right, ` +
        `${windowsSent} windows sent, ${windowsMissing} missing\n`,
    )
    .join('');
}
