import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type RolloutDetail,
  RolloutDetailSchema,
  type RolloutStart,
} from '../../controller/api/rollout-schemas.ts';
import { DeviceListSchema } from '../../controller/api/schemas.ts';
import { systemClock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { parseJson, parserOf } from '../../shared/schema.ts';
import { until } from '../chaos/until.ts';
import { runHere } from '../integration/cli/in-process.ts';
import { startProcess, type TestProcess } from '../support/processes.ts';
import { temporaryFolder } from '../support/temp.ts';
import { type CountingProxy, startCountingProxy } from './rollout-proxy.ts';

const parseRollout = parserOf(RolloutDetailSchema);
const parseDevices = parserOf(DeviceListSchema);

/** Longest time that a rollout of this bench may take, milliseconds. */
const PATIENCE_MS = 150_000;
const POLL_MS = 50;

/** A broker, a controller beside it and one publisher, each program a process; lines to the broker count bytes. */
export interface BenchFleet extends AsyncDisposable {
  /** Everything lies in it. */
  readonly dir: string;
  /** The broker itself. */
  readonly brokerUrl: string;
  readonly controllerLine: CountingProxy;
  readonly agentLine: CountingProxy;
  /** Runs `ofa-fleet` with these words. @throws AppError `system` */
  run(...words: string[]): Promise<string>;
  startSwarm(swarm: SwarmPlan): Promise<TestProcess>;
  /** Starts a real agent. @param url of the broker, by whichever line */
  startAgent(device: string, url: string, ...args: string[]): Promise<TestProcess>;
  /** Waits until so many devices are known, and online or offline as asked. */
  untilDevices(count: number, isOnline: boolean): Promise<void>;
  /** Starts a rollout to all devices, without soaking unless said otherwise. */
  begin(release: string, change?: Partial<RolloutStart>): Promise<RolloutDetail>;
  /** Waits until a rollout is completed everywhere. @throws AppError `system` when it ends otherwise */
  untilCompleted(id: string): Promise<RolloutDetail>;
}

export interface SwarmPlan {
  readonly devices: number;
  /** Folder of the family that they are installed with. */
  readonly family: string;
  /** Where their folders are; the same name is the same devices. */
  readonly name?: string;
  readonly joinS?: number;
  /** Default: the counting line of agents. */
  readonly url?: string;
}

type Start = (program: 'agent' | 'controller', name: string, args: readonly string[]) => Promise<TestProcess>;

export interface BenchFleetPlan {
  /** For `ofa-fleet serve`. */
  readonly controllerArgs?: readonly string[];
  /** The controller speaks to the broker itself, and nothing of it is counted. */
  readonly isDirect?: boolean;
}

/** Starts it, and makes the keys. */
export async function startBenchFleet({
  controllerArgs = [],
  isDirect = false,
}: BenchFleetPlan = {}): Promise<BenchFleet> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const dir = folder.path;
  const startIn = async (of: AsyncDisposableStack, ...[program, name, args]: Parameters<Start>) => {
    const running = await startProcess(program, args, join(dir, `${name}.log`));
    of.defer(async () => void (await running.stop()));
    return running;
  };
  const start: Start = (...program) => startIn(stack, ...program);
  const broker = await start('controller', 'broker', ['broker', '--broker-port', '0']);
  const brokerUrl = broker.ready.mqttUrl ?? '';
  const controllerLine = stack.use(await startCountingProxy(brokerUrl));
  const agentLine = stack.use(await startCountingProxy(brokerUrl));
  const state = ['--state', join(dir, 'controller'), '--token-file', join(dir, 'token')];
  const at = ['--api-port', '0', '--broker-url', isDirect ? brokerUrl : controllerLine.url];
  const controller = await start('controller', 'serve', ['serve', ...state, ...at, ...controllerArgs]);
  const env = {
    OFA_FLEET_URL: controller.ready.apiUrl ?? '',
    OFA_FLEET_TOKEN: (await readFile(join(dir, 'token'), 'utf8')).trim(),
    OFA_FLEET_KEYS: join(dir, 'keys'),
  };
  const run: BenchFleet['run'] = async (...words) => {
    const { status, out, err } = await runHere(words, env);
    if (status !== 0) throw new AppError('system', `ofa-fleet ${words.join(' ')}: ${status}, ${err}`);
    return out;
  };
  await run('keys', 'create', 'ci');
  const devices = stack.use(new AsyncDisposableStack());
  const startDevices: Start = (...program) => startIn(devices, ...program);
  const common = ['--trust-root', join(env.OFA_FLEET_KEYS, 'root.pub'), '--log-level', 'warn'];
  const startAgent: BenchFleet['startAgent'] = async (device, url, ...args) => {
    const own = ['--state', join(dir, device), '--device', device, '--broker-url', url];
    await mkdir(join(dir, device), { recursive: true });
    return await startDevices('agent', device, ['run', ...own, ...common, ...args]);
  };
  const startSwarm: BenchFleet['startSwarm'] = async ({ devices: count, family, joinS = 0, ...plan }) => {
    const { name = 'swarm', url = agentLine.url } = plan;
    const own = ['--devices', String(count), '--prefix', name, '--join', `${joinS}s`];
    const place = ['--state', join(dir, name), '--family', family, '--broker-url', url];
    return await startDevices('agent', name, ['swarm', ...own, ...place, ...common]);
  };
  const ask = asking(env);
  const parts = stack.move();
  return {
    ...{ dir, brokerUrl, controllerLine, agentLine, run, startAgent, startSwarm },
    ...rolloutsOf(ask),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

type Ask = (method: string, path: string, body?: object) => Promise<string>;

function asking({
  OFA_FLEET_URL,
  OFA_FLEET_TOKEN,
}: Record<'OFA_FLEET_URL' | 'OFA_FLEET_TOKEN', string>): Ask {
  return async (method, path, body) => {
    const response = await fetch(`${OFA_FLEET_URL}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${OFA_FLEET_TOKEN}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new AppError('system', `${method} ${path}: ${response.status} ${text}`);
    return text;
  };
}

function rolloutsOf(ask: Ask): Pick<BenchFleet, 'begin' | 'untilCompleted' | 'untilDevices'> {
  const show = async (id: string) =>
    parseJson(await ask('GET', `/v1/rollouts/${id}`), parseRollout, `rollout ${id}`);
  return {
    untilDevices: (count, isOnline) =>
      until(`${count} devices that are ${isOnline ? 'online' : 'offline'}`, async () => {
        const { devices } = parseJson(await ask('GET', '/v1/devices'), parseDevices, 'devices');
        return devices.filter(({ online }) => online === isOnline).length >= count;
      }),
    begin: async (release, change = {}) => {
      const body = { release, target: { all: true }, soakMs: 0, ...change };
      return parseJson(await ask('POST', '/v1/rollouts', body), parseRollout, `rollout of ${release}`);
    },
    untilCompleted: async (id) => {
      const endMs = systemClock.monoMs() + PATIENCE_MS;
      for (;;) {
        const rollout = await show(id);
        if (rollout.done) return checked(rollout);
        if (systemClock.monoMs() > endMs)
          throw new AppError('timeout', `rollout ${id}: ${JSON.stringify(rollout).slice(0, 2_000)}`);
        await systemClock.sleep(POLL_MS);
      }
    },
  };
}

function checked(rollout: RolloutDetail): RolloutDetail {
  const { id, state, counts, devices } = rollout;
  if (state === 'completed' && counts['SUCCEEDED'] === devices.length) return rollout;
  throw new AppError('system', `rollout ${id}: ${JSON.stringify(rollout).slice(0, 2_000)}`);
}
