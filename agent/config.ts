import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ConfigSchema, type ConfigSources, type LoadedConfig, loadConfig } from '../shared/config.ts';
import { AppError } from '../shared/errors.ts';
import { packageRoot } from '../shared/package.ts';
import { isId } from '../shared/protocol/ids.ts';
import { LOG_LEVELS, type Settings } from '../shared/protocol/requirement.ts';
import {
  checkEngine,
  checkManager,
  checkRequirement,
  type EngineConfig,
  engineSchema,
  type ManagerConfig,
  managerSchema,
  type RequirementConfig,
  requirementSchema,
} from './config-parts.ts';
import { checkUpdates, type UpdatesConfig, updatesSchema } from './config-updates.ts';

export interface AgentConfig extends ManagerConfig, UpdatesConfig {
  state: { dir: string };
  fleet: string;
  device: string;
  broker: { url: string; username: string | null; password: string | null };
  family: { dir: string };
  frames: { source: string; rate: number; offset: number };
  engine: EngineConfig;
  requirement: RequirementConfig;
  telemetry: { windowMs: number };
  outbox: { maxMebibytes: number; maxAgeMs: number };
  metrics: { port: number | null };
  log: { level: NonNullable<Settings['logLevel']> };
}

/** A host's name as an id: lower case, everything else a hyphen. */
function hostId(): string {
  const id = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  return isId(id) ? id : 'device';
}

function bundledFrames(): string {
  const folder = join(packageRoot(), 'models', 'data', 'fashion-mnist');
  return `idx:${join(folder, 't10k-images-idx3-ubyte.gz')},${join(folder, 't10k-labels-idx1-ubyte.gz')}`;
}

/** The agent's configuration: every value with its meaning, environment variable and flag. */
export function agentConfigSchema(): ConfigSchema<AgentConfig> {
  return {
    state: {
      dir: {
        doc: 'Folder that holds the outbox, the installed families and the last desired state',
        format: 'text',
        default: 'ofa-agent-state',
        env: 'OFA_AGENT_STATE',
        arg: 'state',
      },
    },
    fleet: {
      doc: 'Fleet that the device belongs to',
      format: 'text',
      default: 'default',
      env: 'OFA_AGENT_FLEET',
      arg: 'fleet',
    },
    device: {
      doc: "Id of this device; the host's name when it is not given",
      format: 'text',
      default: hostId(),
      env: 'OFA_AGENT_DEVICE',
      arg: 'device',
    },
    broker: {
      url: {
        doc: 'MQTT broker',
        format: 'text',
        default: 'mqtt://127.0.0.1:1883',
        env: 'OFA_AGENT_BROKER_URL',
        arg: 'broker-url',
      },
      username: {
        doc: 'User name at the broker',
        format: 'text',
        nullable: true,
        default: null,
        env: 'OFA_AGENT_BROKER_USERNAME',
      },
      password: {
        doc: 'Password at the broker; never an argument',
        format: 'text',
        nullable: true,
        default: null,
        sensitive: true,
        env: 'OFA_AGENT_BROKER_PASSWORD',
      },
    },
    family: {
      dir: {
        doc: 'Folder of the family to run: family.json and blobs/',
        format: 'text',
        default: join(packageRoot(), 'models', 'families', 'fashion-mnist'),
        env: 'OFA_AGENT_FAMILY',
        arg: 'family',
      },
    },
    frames: {
      source: {
        doc: 'Where frames come from: a folder of images (one sub-folder per class where labels are known), or idx:IMAGES[,LABELS]',
        format: 'text',
        default: bundledFrames(),
        env: 'OFA_AGENT_SOURCE',
        arg: 'source',
      },
      rate: {
        doc: 'Frames per second',
        format: 'frequency',
        default: 25,
        env: 'OFA_AGENT_FRAME_RATE',
        arg: 'frame-rate',
      },
      offset: {
        doc: 'Number of the frame to begin with, so that devices with the same source do not run in step',
        format: 'nat',
        default: 0,
        env: 'OFA_AGENT_FRAME_OFFSET',
        arg: 'frame-offset',
      },
    },
    engine: engineSchema(),
    requirement: requirementSchema(),
    ...managerSchema(),
    ...updatesSchema(),
    telemetry: {
      windowMs: {
        doc: 'Length of a telemetry window',
        format: 'duration',
        default: 10_000,
        env: 'OFA_AGENT_WINDOW',
        arg: 'window',
      },
    },
    outbox: {
      maxMebibytes: {
        doc: 'Telemetry that may wait for the controller; beyond it the oldest is dropped and counted',
        format: 'nat',
        default: 256,
        env: 'OFA_AGENT_OUTBOX_MIB',
      },
      maxAgeMs: {
        doc: 'Telemetry older than this is dropped and counted',
        format: 'duration',
        default: 30 * 86_400_000,
        env: 'OFA_AGENT_OUTBOX_AGE',
      },
    },
    metrics: {
      port: {
        doc: 'Port on 127.0.0.1 on which Prometheus finds /metrics; 0 takes a free one, without it there are none',
        format: 'port',
        nullable: true,
        default: null,
        env: 'OFA_AGENT_METRICS_PORT',
        arg: 'metrics-port',
      },
    },
    log: {
      level: {
        doc: 'Log level',
        format: [...LOG_LEVELS],
        default: 'info',
        env: 'OFA_AGENT_LOG_LEVEL',
        arg: 'log-level',
      },
    },
  };
}

/** Reads the agent's configuration. @throws AppError `usage` or `config` naming the value that is wrong */
export function loadAgentConfig(sources: ConfigSources): LoadedConfig<AgentConfig> {
  const loaded = loadConfig(agentConfigSchema(), sources);
  const { device, fleet, broker, frames, telemetry } = loaded.values;
  for (const [name, id] of Object.entries({ device, fleet })) {
    if (!isId(id))
      throw new AppError(
        'config',
        `${name}: '${id}' is not an id; use lower-case letters, digits and hyphens`,
      );
  }
  if (!(frames.rate > 0 && frames.rate <= 1_000))
    throw new AppError('config', `frame rate: ${frames.rate} is not above 0 and at most 1000 a second`);
  const { windowMs } = telemetry;
  if (!(Number.isInteger(windowMs) && windowMs >= 100 && windowMs <= 3_600_000))
    throw new AppError('config', `window: ${windowMs} ms is not a whole number from 100ms to 1h`);
  checkBroker(broker.url);
  checkEngine(loaded.values.engine);
  checkManager(loaded.values);
  checkRequirement(loaded.values.requirement);
  checkUpdates(loaded.values);
  return loaded;
}

const BROKER_PROTOCOLS = ['mqtt:', 'mqtts:', 'ws:', 'wss:'];

/** The address goes into log lines, so it must not carry a password. */
function checkBroker(url: string): void {
  if (!URL.canParse(url)) throw new AppError('config', `broker url: '${url}' is not an address`);
  if (!BROKER_PROTOCOLS.includes(new URL(url).protocol))
    throw new AppError('config', `broker url: '${url}' is not MQTT; write for example mqtt://10.0.0.5:1883`);
  if (new URL(url).password !== '')
    throw new AppError('config', 'broker url: it holds a password; give it in OFA_AGENT_BROKER_PASSWORD');
}
