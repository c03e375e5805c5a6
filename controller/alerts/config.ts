import type { ConfigSchema } from '../../shared/config.ts';
import { AppError } from '../../shared/errors.ts';
import { isLoopback } from '../../shared/loopback.ts';

/** What is an alert, and who is told. Durations in milliseconds. */
export interface AlertsConfig {
  /** Empty: nobody is told. */
  readonly webhookUrl: string;
  /** Of the webhook; empty: none, or the one in `webhookTokenFile`. */
  readonly webhookToken: string;
  readonly webhookTokenFile: string;
  /** For how long a budget is violated before it is an alert. */
  readonly violatedMs: number;
  /** Windows in a row with too many misses that are an alert. */
  readonly violatedWindows: number;
  /** A device is silent when this many windows in a row did not come, */
  readonly silentWindows: number;
  /** and nothing came for this long. */
  readonly silentMs: number;
  readonly throttledMs: number;
  readonly driftingMs: number;
  readonly cpuFallbackMs: number;
  /** Age of the oldest record that waits on the device. */
  readonly outboxAgeMs: number;
  readonly stalledMs: number;
  /** For how long all must be well before an alert is resolved. */
  readonly resolveMs: number;
}

/** A duration with its names as environment variable and flag. */
function duration(doc: string, name: string, defaultMs: number) {
  return {
    doc,
    format: 'duration',
    default: defaultMs,
    env: `OFA_FLEET_ALERTS_${name.replaceAll('-', '_').toUpperCase()}`,
    arg: `alerts-${name}`,
  };
}

/** Windows of a device that are remembered, at most. */
const MAX_WINDOWS = 100;

/** Part `alerts` of the controller's configuration. */
export const ALERTS_CONFIG: ConfigSchema<AlertsConfig> = {
  webhookUrl: {
    doc: 'Address that alerts are posted to: https, or http on this machine; empty: none.',
    format: 'text',
    default: '',
    env: 'OFA_FLEET_ALERTS_WEBHOOK_URL',
    arg: 'alerts-webhook-url',
    // Many services put their secret into the address.
    sensitive: true,
  },
  webhookToken: {
    doc: 'Bearer token for the webhook; by environment or file only.',
    format: 'text',
    default: '',
    env: 'OFA_FLEET_ALERTS_WEBHOOK_TOKEN',
    sensitive: true,
  },
  webhookTokenFile: {
    doc: 'File that holds the bearer token for the webhook.',
    format: 'text',
    default: '',
    env: 'OFA_FLEET_ALERTS_WEBHOOK_TOKEN_FILE',
    arg: 'alerts-webhook-token-file',
  },
  violatedMs: duration('A budget that is violated for this long is an alert.', 'violated', 60_000),
  violatedWindows: {
    doc: 'So many windows in a row with more misses than are allowed are an alert.',
    format: 'nat',
    default: 3,
    env: 'OFA_FLEET_ALERTS_VIOLATED_WINDOWS',
    arg: 'alerts-violated-windows',
  },
  silentWindows: {
    doc: 'A device of which so many windows in a row did not come is silent.',
    format: 'nat',
    default: 3,
    env: 'OFA_FLEET_ALERTS_SILENT_WINDOWS',
    arg: 'alerts-silent-windows',
  },
  silentMs: duration('A device is not silent before nothing came for this long.', 'silent', 60_000),
  throttledMs: duration('A device that is throttled for this long is an alert.', 'throttled', 60_000),
  driftingMs: duration('A level that drifts for this long is an alert.', 'drifting', 0),
  cpuFallbackMs: duration(
    'A device that could run on its GPU and runs on its CPU for this long is an alert.',
    'cpu-fallback',
    300_000,
  ),
  outboxAgeMs: duration('A record that waits on a device for this long is an alert.', 'outbox-age', 600_000),
  stalledMs: duration('A history that takes nothing in for this long is an alert.', 'stalled', 30_000),
  resolveMs: duration('An alert is resolved when all was well for this long.', 'resolve', 60_000),
};

/**
 * Checks what no single value shows.
 * @throws AppError `config`
 */
export function checkAlertsConfig(config: AlertsConfig): void {
  if (config.webhookUrl !== '') checkWebhookUrl(config.webhookUrl);
  if (config.webhookToken !== '' && config.webhookTokenFile !== '') {
    throw new AppError('config', 'alerts: set one of webhookToken and webhookTokenFile, not both');
  }
  for (const name of ['violatedWindows', 'silentWindows'] as const) {
    if (config[name] < 1 || config[name] > MAX_WINDOWS) {
      throw new AppError('config', `alerts.${name} is ${config[name]}; write 1 to ${MAX_WINDOWS}`);
    }
  }
}

/** Nothing of the address stands in the error: it may be a secret. */
function checkWebhookUrl(text: string): void {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new AppError('config', 'alerts.webhookUrl is not an address; write for example https://host/path');
  }
  if (url.username !== '' || url.password !== '') {
    throw new AppError(
      'config',
      'alerts.webhookUrl must not hold a name or password; set alerts.webhookToken',
    );
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname.replaceAll(/^\[|\]$/g, ''))) {
    throw new AppError('config', `alerts.webhookUrl: ${url.hostname} is another machine; use https`);
  }
}
