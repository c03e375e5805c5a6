import { type ConfigSchema, type ConfigSources, type LoadedConfig, loadConfig } from '../shared/config.ts';
import { AppError } from '../shared/errors.ts';
import { isLoopback } from '../shared/loopback.ts';
import { isId } from '../shared/protocol/ids.ts';
import { LOG_LEVELS } from '../shared/protocol/requirement.ts';
import { formatDurationMs } from '../shared/units.ts';
import { ALERTS_CONFIG, type AlertsConfig, checkAlertsConfig } from './alerts/config.ts';

export interface ControllerConfig {
  readonly state: { readonly dir: string };
  readonly fleet: string;
  /** Where the API token is written that is made at the first start; empty: it is handed to the caller. */
  readonly tokenFile: string;
  readonly api: { readonly host: string; readonly port: number };
  readonly broker: {
    readonly embedded: boolean;
    readonly host: string;
    readonly port: number;
    /** Of an external broker; empty when there is none. */
    readonly url: string;
    readonly username: string;
    readonly password: string;
  };
  /** For how long the history keeps what, milliseconds; 0 is for ever. */
  readonly retention: {
    readonly rawMs: number;
    readonly minuteMs: number;
    readonly hourMs: number;
    readonly dayMs: number;
  };
  /** How the files of releases are sent to the fleet over MQTT. */
  readonly transfer: {
    /** 0: as fast as the broker takes them. */
    readonly bytesPerS: number;
    readonly inFlight: number;
    readonly gatherMs: number;
  };
  /** Where Prometheus reads; without a port nowhere. */
  readonly metrics: { readonly host: string; readonly port: number | null };
  readonly alerts: AlertsConfig;
  readonly security: { readonly allowPlaintext: boolean };
  readonly log: { readonly level: string };
}

const DAY_MS = 86_400_000;

/** A duration of the retention, with its names. */
function keepFor(what: string, name: string, defaultMs: number) {
  return {
    doc: `For how long the history keeps ${what}; 0s is for ever.`,
    format: 'duration',
    default: defaultMs,
    env: `OFA_FLEET_RETENTION_${name}`,
    arg: `retention-${name.toLowerCase()}`,
  };
}

export const CONTROLLER_CONFIG: ConfigSchema<ControllerConfig> = {
  state: {
    dir: {
      doc: 'Folder of the history and all other state; made when it is not there.',
      format: 'text',
      default: './ofa-fleet-state',
      env: 'OFA_FLEET_STATE',
      arg: 'state',
    },
  },
  fleet: {
    doc: 'Id of the fleet; agents of another fleet are not heard.',
    format: 'text',
    default: 'default',
    env: 'OFA_FLEET_FLEET',
    arg: 'fleet',
  },
  tokenFile: {
    doc: 'File (mode 600) for the API token that is made at the first start; without it the token is printed once.',
    format: 'text',
    default: '',
    env: 'OFA_FLEET_TOKEN_FILE',
    arg: 'token-file',
  },
  api: {
    host: {
      doc: 'Address that the HTTP API listens on.',
      format: 'text',
      default: '127.0.0.1',
      env: 'OFA_FLEET_API_HOST',
      arg: 'api-host',
    },
    port: {
      doc: 'Port of the HTTP API; 0 takes a free one.',
      format: 'port',
      default: 7300,
      env: 'OFA_FLEET_API_PORT',
      arg: 'api-port',
    },
  },
  broker: {
    embedded: {
      doc: 'Whether the controller runs an MQTT broker itself; never when broker.url is set.',
      format: Boolean,
      default: true,
      env: 'OFA_FLEET_BROKER_EMBEDDED',
      arg: 'broker-embedded',
    },
    host: {
      doc: 'Address that the embedded broker listens on.',
      format: 'text',
      default: '127.0.0.1',
      env: 'OFA_FLEET_BROKER_HOST',
      arg: 'broker-host',
    },
    port: {
      doc: 'Port of the embedded broker; 0 takes a free one.',
      format: 'port',
      default: 1883,
      env: 'OFA_FLEET_BROKER_PORT',
      arg: 'broker-port',
    },
    url: {
      doc: 'An external broker, for example mqtt://broker.example:1883.',
      format: 'text',
      default: '',
      env: 'OFA_FLEET_BROKER_URL',
      arg: 'broker-url',
    },
    username: {
      doc: 'User name at the external broker.',
      format: 'text',
      default: '',
      env: 'OFA_FLEET_BROKER_USERNAME',
      arg: 'broker-username',
    },
    password: {
      doc: 'Password at the external broker; by environment or file only.',
      format: 'text',
      default: '',
      env: 'OFA_FLEET_BROKER_PASSWORD',
      sensitive: true,
    },
  },
  retention: {
    rawMs: keepFor('windows as they came', 'RAW', 7 * DAY_MS),
    minuteMs: keepFor('summaries of a minute', 'MINUTE', 90 * DAY_MS),
    hourMs: keepFor('summaries of an hour, and events', 'HOUR', 730 * DAY_MS),
    dayMs: keepFor('summaries of a day', 'DAY', 0),
  },
  transfer: {
    bytesPerS: {
      doc: 'Bytes of release files that are sent over MQTT in a second, at most; 0 is as fast as the broker takes them.',
      format: 'nat',
      default: 16 * 2 ** 20,
      env: 'OFA_FLEET_TRANSFER_RATE',
      arg: 'transfer-rate',
    },
    inFlight: {
      doc: 'Chunks of 64 KiB that are on their way to the broker at once.',
      format: 'nat',
      default: 16,
      env: 'OFA_FLEET_TRANSFER_IN_FLIGHT',
    },
    gatherMs: {
      doc: 'How long a file waits, at most, for all devices of a rollout that will ask for it, to be sent to them at once.',
      format: 'duration',
      default: 90_000,
      env: 'OFA_FLEET_TRANSFER_GATHER',
      arg: 'transfer-gather',
    },
  },
  metrics: {
    host: {
      doc: 'Address of this machine that Prometheus reads metrics from.',
      format: 'text',
      default: '127.0.0.1',
      env: 'OFA_FLEET_METRICS_HOST',
      arg: 'metrics-host',
    },
    port: {
      doc: 'Port that Prometheus reads metrics from; 0 takes a free one; without it there is none.',
      format: 'port',
      nullable: true,
      default: null,
      env: 'OFA_FLEET_METRICS_PORT',
      arg: 'metrics-port',
    },
  },
  alerts: ALERTS_CONFIG,
  security: {
    allowPlaintext: {
      doc: 'Allows addresses beyond this machine although nothing is encrypted: for closed networks only.',
      format: Boolean,
      default: false,
      env: 'OFA_FLEET_ALLOW_PLAINTEXT',
      arg: 'allow-plaintext',
    },
  },
  log: {
    level: {
      doc: `How much is logged: ${LOG_LEVELS.join(', ')}.`,
      format: [...LOG_LEVELS],
      default: 'info',
      env: 'OFA_FLEET_LOG_LEVEL',
      arg: 'log-level',
    },
  },
};

const BROKER_PROTOCOLS: ReadonlySet<string> = new Set(['mqtt:', 'mqtts:', 'ws:', 'wss:', 'tcp:', 'ssl:']);

/**
 * Reads and checks the controller's configuration.
 * @throws AppError `usage` or `config`, naming what is wrong
 */
export function loadControllerConfig(sources: ConfigSources): LoadedConfig<ControllerConfig> {
  const loaded = loadConfig(CONTROLLER_CONFIG, sources);
  checkControllerConfig(loaded.values);
  return loaded;
}

/**
 * Checks what no single value shows.
 * @throws AppError `config`
 */
export function checkControllerConfig(config: ControllerConfig): void {
  const { fleet, api, broker, security, retention, alerts } = config;
  if (!isId(fleet)) {
    throw new AppError('config', `fleet '${fleet}' is not an id: use a-z, 0-9 and -, at most 63 characters`);
  }
  if (broker.url === '' && !broker.embedded) {
    throw new AppError('config', 'no broker: set broker.url, or leave broker.embedded on');
  }
  if (broker.url !== '') checkBrokerUrl(broker.url);
  checkListens('api.host', api.host, security.allowPlaintext);
  if (broker.url === '') checkListens('broker.host', broker.host, security.allowPlaintext);
  checkRetention(retention);
  checkMetrics(config.metrics);
  checkTransfer(config.transfer);
  checkAlertsConfig(alerts);
}

/** What is coarser must outlive what is finer: else a query would find nothing in between. */
function checkRetention(retention: ControllerConfig['retention']): void {
  const names = ['rawMs', 'minuteMs', 'hourMs', 'dayMs'] as const;
  for (const [index, name] of names.entries()) {
    const coarser = names[index + 1];
    if (coarser === undefined || retention[coarser] === 0) continue;
    if (retention[name] !== 0 && retention[name] <= retention[coarser]) continue;
    const kept = (each: typeof name) =>
      retention[each] === 0 ? 'for ever' : formatDurationMs(retention[each]);
    throw new AppError(
      'config',
      `retention.${name} (${kept(name)}) must not be longer than retention.${coarser} (${kept(coarser)})`,
    );
  }
}

function checkMetrics({ host, port }: ControllerConfig['metrics']): void {
  if (port === null || isLoopback(host)) return;
  throw new AppError(
    'config',
    `metrics.host ${host} is reachable from other machines, and everybody may read there; use 127.0.0.1`,
  );
}

/** Each chunk under way is in memory, and before what else the link has to send. */
const MAX_IN_FLIGHT = 256;

function checkTransfer({ inFlight }: ControllerConfig['transfer']): void {
  if (inFlight >= 1 && inFlight <= MAX_IN_FLIGHT) return;
  throw new AppError('config', `transfer.inFlight ${inFlight} is not from 1 to ${MAX_IN_FLIGHT}`);
}

/** The address stands in logs and errors: nothing secret may be in it. */
function checkBrokerUrl(text: string): void {
  const url = URL.parse(text);
  if (url === null || !BROKER_PROTOCOLS.has(url.protocol)) {
    throw new AppError(
      'config',
      'broker.url is not an address; write for example mqtt://broker.example:1883',
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new AppError(
      'config',
      'broker.url must not hold a name or password; set broker.username and broker.password',
    );
  }
}

function checkListens(name: string, host: string, allowPlaintext: boolean): void {
  if (allowPlaintext || isLoopback(host)) return;
  throw new AppError(
    'config',
    `${name} ${host} is reachable from other machines, and nothing is encrypted; use 127.0.0.1, or set ` +
      'security.allowPlaintext (--allow-plaintext true) on a network that you trust',
  );
}
