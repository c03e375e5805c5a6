import type { ConfigSchema } from '../shared/config.ts';
import { AppError } from '../shared/errors.ts';
import { LIMITS, type Priority, type Requirement } from '../shared/protocol/requirement.ts';
import { REQUIREMENT_FIELD_NAMES, refusalOf } from '../shared/protocol/requirement-rules.ts';
import type { ProcessingElement } from '../shared/protocol/window.ts';

/** The requirement that holds where the controller states none. */
export interface RequirementConfig {
  latencyMs: number | null;
  missShare: number | null;
  accuracyFloor: number | null;
  powerW: number | null;
  energyJ: number | null;
  tempC: number | null;
  price: number | null;
  priority: Priority;
}

/** What the configuration states of a requirement. */
export function statedRequirement(config: RequirementConfig): Requirement {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null));
}

/**
 * The limits that the protocol sets too: a controller would drop every window that states others.
 * @throws AppError `config` naming the field
 */
export function checkRequirement(config: RequirementConfig): void {
  for (const field of REQUIREMENT_FIELD_NAMES) {
    const refusal =
      config[field] === null ? undefined : refusalOf(field, config[field], `requirement.${field}`);
    if (refusal !== undefined) throw new AppError('config', refusal);
  }
}

/** Schema of the requirement's part: each field with the flag and the variable that the controller's words have too. */
export function requirementSchema(): ConfigSchema<RequirementConfig> {
  return {
    latencyMs: {
      doc: 'Latency budget of one inference, where the controller states none',
      format: 'duration',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_LATENCY',
      arg: 'latency',
    },
    missShare: {
      doc: 'Share of inferences that may miss it',
      format: 'fraction',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_MISS_SHARE',
      arg: 'miss-share',
    },
    accuracyFloor: {
      doc: 'Smallest top-1 accuracy that a level may have',
      format: 'fraction',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_ACCURACY_FLOOR',
      arg: 'accuracy-floor',
    },
    ...energyLimits(),
    priority: {
      doc: 'Limits that are kept when not all can be, the first longest',
      format: (value: unknown) => {
        const refusal = refusalOf('priority', value);
        if (refusal !== undefined) throw new Error(refusal);
      },
      default: LIMITS.join(','),
      env: 'OFA_AGENT_PRIORITY',
      arg: 'priority',
    },
  };
}

function energyLimits(): ConfigSchema<Pick<RequirementConfig, 'powerW' | 'energyJ' | 'tempC' | 'price'>> {
  return {
    powerW: {
      doc: 'Average power of the device',
      format: 'power',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_POWER',
      arg: 'power',
    },
    energyJ: {
      doc: 'Energy of one inference above idle, on average',
      format: 'energy',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_ENERGY',
      arg: 'energy',
    },
    tempC: {
      doc: 'Temperature that the hottest zone must not pass',
      format: 'temperature',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_TEMP',
      arg: 'temp',
    },
    price: {
      doc: 'Accuracy that one joule is worth',
      format: 'decimal',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_PRICE',
      arg: 'price',
    },
  };
}

/** Where and how inference runs. */
export interface EngineConfig {
  threads: number | null;
  runTimeoutMs: number;
  elements: ProcessingElement[];
  cpuThreads: number[] | null;
  gpuProviders: string[];
  memoryBytes: number | null;
}

/** Schema of the engine's part. */
export function engineSchema(): ConfigSchema<EngineConfig> {
  return {
    threads: {
      doc: 'Threads of one inference; without it the profile chooses for each level',
      format: 'nat',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_THREADS',
      arg: 'threads',
    },
    runTimeoutMs: {
      doc: 'An inference that takes longer than this is hung: the agent ends itself and is started again',
      format: 'duration',
      default: 30_000,
      env: 'OFA_AGENT_RUN_TIMEOUT',
    },
    elements: {
      doc: 'Processing elements to run on: cpu, gpu or cpu,gpu',
      format: 'words',
      default: ['cpu'],
      env: 'OFA_AGENT_ELEMENTS',
      arg: 'elements',
    },
    cpuThreads: {
      doc: 'Numbers of threads that each level is measured with on the CPU, to keep the best; without it --threads, else 1 and the number of cores',
      format: 'counts',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_CPU_THREADS',
      arg: 'cpu-threads',
    },
    gpuProviders: {
      doc: 'Execution providers of the GPU, the preferred one first: tensorrt, cuda or cpu',
      format: 'words',
      default: ['tensorrt', 'cuda'],
      env: 'OFA_AGENT_GPU_PROVIDERS',
      arg: 'gpu-providers',
    },
    memoryBytes: {
      doc: 'Memory that loaded levels may take; those beyond it are loaded when they are near',
      format: 'size',
      nullable: true,
      default: null,
      env: 'OFA_AGENT_MEMORY',
      arg: 'memory',
    },
  };
}

const ELEMENTS: ReadonlySet<string> = new Set<ProcessingElement>(['cpu', 'gpu']);
const PROVIDERS: ReadonlySet<string> = new Set(['tensorrt', 'cuda', 'cpu']);
/** More threads than any board has cores. */
const MAX_THREADS = 256;

/** @throws AppError `config` naming what is wrong */
export function checkEngine({
  threads,
  elements,
  cpuThreads,
  gpuProviders,
  memoryBytes,
}: EngineConfig): void {
  for (const count of [threads ?? 1, ...(cpuThreads ?? [])]) {
    if (count >= 1 && count <= MAX_THREADS) continue;
    throw new AppError('config', `threads: ${count} is not from 1 to ${MAX_THREADS}`);
  }
  checkWords('elements', elements, ELEMENTS);
  checkWords('gpu providers', gpuProviders, PROVIDERS);
  if (memoryBytes === 0) throw new AppError('config', 'memory: 0 bytes hold no level');
}

function checkWords(what: string, words: readonly string[], known: ReadonlySet<string>): void {
  const stranger = words.find((word) => !known.has(word));
  if (stranger !== undefined) {
    throw new AppError('config', `${what}: '${stranger}' is not one of ${[...known].join(', ')}`);
  }
  const twice = words.find((word, index) => words.indexOf(word) !== index);
  if (twice !== undefined) throw new AppError('config', `${what}: '${twice}' is named twice`);
}

/** What the manager goes by, besides the requirement. */
export interface ManagerConfig {
  manager: { policy: string };
  energy: { idleW: number | null; activeW: number | null };
  audit: { share: number };
  sensors: { root: string; periodMs: number };
}

/** Schema of the manager's parts. */
export function managerSchema(): ConfigSchema<ManagerConfig> {
  return {
    manager: {
      policy: {
        doc: 'What chooses the level: ofa, static:N, dynamic-ofa, dynamic-ofa-repaired, alert, alert-tuned, slackfit or slackfit-slowdown',
        format: 'text',
        default: 'ofa',
        env: 'OFA_AGENT_POLICY',
        arg: 'policy',
      },
    },
    energy: {
      idleW: {
        doc: 'Power of the idle device, where no sensor measures it; with --active-power the stated energy model',
        format: 'power',
        nullable: true,
        default: null,
        env: 'OFA_AGENT_IDLE_POWER',
        arg: 'idle-power',
      },
      activeW: {
        doc: 'Power that inference adds to it while it runs',
        format: 'power',
        nullable: true,
        default: null,
        env: 'OFA_AGENT_ACTIVE_POWER',
        arg: 'active-power',
      },
    },
    audit: {
      share: {
        doc: 'Share of inferences that the largest level repeats in idle time, to estimate accuracy without labels',
        format: 'fraction',
        default: 0.01,
        env: 'OFA_AGENT_AUDIT_SHARE',
        arg: 'audit-share',
      },
    },
    sensors: {
      root: {
        doc: 'Folder under which /sys and /proc are read',
        format: 'text',
        default: '/',
        env: 'OFA_AGENT_SENSORS_ROOT',
        arg: 'sensors-root',
      },
      periodMs: {
        doc: 'How often the sensors are read',
        format: 'duration',
        default: 1_000,
        env: 'OFA_AGENT_SENSORS_PERIOD',
        arg: 'sensors-period',
      },
    },
  };
}

/** Sensors are read at least so often, or the manager hears of heat too late; and at most so often. */
const SENSOR_PERIOD_MS = { min: 50, max: 60_000 };
const MAX_POLICY_CHARACTERS = 64;

/** @throws AppError `config` naming what is wrong; whether the policy exists is the manager's to say */
export function checkManager({ manager, energy, audit, sensors }: ManagerConfig): void {
  const { policy } = manager;
  if (!(policy !== '' && policy.length <= MAX_POLICY_CHARACTERS))
    throw new AppError(
      'config',
      `policy: '${policy.slice(0, MAX_POLICY_CHARACTERS)}' is not a policy's name`,
    );
  if ((energy.idleW === null) !== (energy.activeW === null))
    throw new AppError('config', 'energy: a stated model needs both the idle power and the active power');
  if (audit.share > 1) throw new AppError('config', `audit share: ${audit.share} is more than 1`);
  const { min, max } = SENSOR_PERIOD_MS;
  if (!(sensors.periodMs >= min && sensors.periodMs <= max))
    throw new AppError(
      'config',
      `sensors period: ${sensors.periodMs} ms is not from ${min}ms to ${max / 1_000}s`,
    );
  if (sensors.root === '') throw new AppError('config', 'sensors root: it is empty');
}
