import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Type from 'typebox';
import { type RolloutDetail, RolloutDetailSchema } from '../../controller/api/rollout-schemas.ts';
import { askStatus } from '../../shared/control/client.ts';
import { AppError } from '../../shared/errors.ts';
import { parserOf } from '../../shared/schema.ts';
import { until } from '../chaos/until.ts';
import { runHere } from '../integration/cli/in-process.ts';
import { startAndKill, startProcess, type TestProcess } from './processes.ts';

export interface RolloutFleetPlan {
  readonly devices: readonly string[];
  /** Folder of the family that devices are installed with; default: the bundled one. */
  readonly family?: string;
  /** `launch`: the program can be replaced too. Default: `run`. */
  readonly command?: 'run' | 'launch';
  readonly controllerArgs?: readonly string[];
  readonly agentArgs?: readonly string[];
}

/** What is read of an agent's status. */
const StatusSchema = Type.Object({
  pid: Type.Number(),
  link: Type.Object({ connected: Type.Boolean(), controllerOnline: Type.Boolean() }),
  telemetry: Type.Object({ pending: Type.Number() }),
  family: Type.Object({ sha256: Type.String(), version: Type.Number() }),
});
const parseStatus = parserOf(StatusSchema);
const parseRollout = parserOf(RolloutDetailSchema);

/** Light, so that two cores carry several agents; a comparison of 100 frames takes a second or two. */
const LOAD = ['--window', '250ms', '--frame-rate', '60', '--threads', '1'];
const STATUS_TIMEOUT_MS = 5_000;

/**
 * A controller with its broker, and agents that trust what its one publisher signs, all of them real processes; the
 * command line that speaks to the controller runs in this one.
 */
export class RolloutFleet implements AsyncDisposable {
  readonly dir: string;
  readonly #plan: RolloutFleetPlan;
  readonly #agents = new Map<string, TestProcess>();
  #controller: TestProcess | undefined;
  /** Kept from start to start: agents and their operators know no others. */
  #ready: TestProcess['ready'] = {};

  private constructor(dir: string, plan: RolloutFleetPlan) {
    this.dir = dir;
    this.#plan = plan;
  }

  /** Starts the controller and makes the keys; the agents are started one by one. */
  static async start(plan: RolloutFleetPlan): Promise<RolloutFleet> {
    const fleet = new RolloutFleet(await mkdtemp(join(tmpdir(), 'ofa-rollout-')), plan);
    try {
      await fleet.startController();
      await fleet.run('keys', 'create', 'ci');
      await Promise.all(plan.devices.map((device) => mkdir(fleet.stateDir(device))));
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get controllerDir(): string {
    return join(this.dir, 'controller');
  }

  stateDir(device: string): string {
    return join(this.dir, device);
  }

  /** What an agent, or the controller, wrote to its log so far. */
  logOf(name: string): string {
    return readFileSync(this.#logFile(name), 'utf8');
  }

  async startController(): Promise<void> {
    const token = ['--token-file', join(this.dir, 'token')];
    const ports = ['--api-port', portOf(this.#ready.apiUrl), '--broker-port', portOf(this.#ready.mqttUrl)];
    const args = ['serve', '--state', this.controllerDir, ...token, ...ports];
    const given = this.#plan.controllerArgs ?? [];
    this.#controller = await startProcess(
      'controller',
      [...args, ...given],
      this.#logFile('controller'),
      this.#env,
    );
    this.#ready = this.#controller.ready;
  }

  async killController(): Promise<void> {
    await this.#controller?.kill9();
  }

  async start(device: string): Promise<void> {
    this.#agents.set(
      device,
      await startProcess('agent', this.#args(device), this.#logFile(device), this.#env),
    );
  }

  /** Starts an agent and kills it before it is ready, if the moment comes early. */
  async startAndKill(device: string, moment: Promise<void>): Promise<void> {
    await startAndKill('agent', this.#args(device), this.#logFile(device), this.#env, moment);
  }

  async kill9(device: string): Promise<void> {
    await this.#agents.get(device)?.kill9();
    this.#agents.delete(device);
  }

  /** Asks an agent to stop. @throws AppError `system` when it does not end well */
  async stop(device: string): Promise<void> {
    const status = await this.#agents.get(device)?.stop();
    this.#agents.delete(device);
    if (status !== undefined && status !== 0)
      throw new AppError('system', `${device} ended with ${status}: ${this.logOf(device).slice(-500)}`);
  }

  /** Stops everything in good order, agents first: what they recorded has to arrive before. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#agents.keys()].map((device) => this.stop(device)));
    const status = await this.#controller?.stop();
    if (status !== 0) throw new AppError('system', `the controller ended with ${status}`);
  }

  /** Runs `ofa-fleet` with these words, and answers with its standard output. @throws AppError `system` */
  async run(...words: string[]): Promise<string> {
    const { status, out, err } = await this.outcome(...words);
    if (status !== 0) throw new AppError('system', `ofa-fleet ${words.join(' ')}: ${status}, ${err}`);
    return out;
  }

  /** Runs `ofa-fleet` with these words, however that ends. */
  async outcome(...words: string[]) {
    const place = { OFA_FLEET_URL: this.#ready.apiUrl, OFA_FLEET_TOKEN: this.#token };
    return await runHere(words, { ...place, OFA_FLEET_KEYS: this.#keys });
  }

  /** Asks the API: a command line that is asked again and again takes the CPU that agents need. */
  async rollout(id: string): Promise<RolloutDetail> {
    const url = new URL(`/v1/rollouts/${id}`, this.#ready.apiUrl);
    const response = await fetch(url, { headers: { authorization: `Bearer ${this.#token}` } });
    return parseRollout(await response.json(), `rollout ${id}`);
  }

  /** Waits until a rollout is as it should be, and answers with it. */
  async untilRollout(id: string, what: string, isSo: (rollout: RolloutDetail) => boolean) {
    let last = await this.rollout(id);
    await until(`rollout ${id} ${what}`, async () => {
      last = await this.rollout(id);
      return isSo(last);
    }).catch((cause: unknown) => {
      throw new AppError('timeout', `rollout ${id}, not ${what}: ${JSON.stringify(last)}`, { cause });
    });
    return last;
  }

  /** What a running agent says of itself. */
  async status(device: string) {
    return parseStatus(await askStatus(this.stateDir(device), STATUS_TIMEOUT_MS), `state of ${device}`);
  }

  async untilConnected(device: string): Promise<void> {
    await until(`${device} to be heard`, async () => {
      const { connected, controllerOnline } = (await this.status(device)).link;
      return connected && controllerOnline;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A launcher that is killed leaves its agent behind for a moment.
    const ends = [...this.#agents.values()].map((agent) =>
      this.#plan.command === 'launch' ? agent.stop() : agent.kill9(),
    );
    await Promise.all([...ends, this.#controller?.kill9()]);
    await rm(this.dir, { recursive: true, force: true });
  }

  get #token(): string {
    return readFileSync(join(this.dir, 'token'), 'utf8').trim();
  }

  get #keys(): string {
    return join(this.dir, 'keys');
  }

  #args(device: string): string[] {
    const { family, command = 'run', agentArgs = LOAD } = this.#plan;
    const place = ['--device', device, '--state', this.stateDir(device), '--broker-url', this.#mqttUrl];
    const trust = ['--trust-root', join(this.#keys, 'root.pub')];
    return [command, ...place, ...trust, ...agentArgs, ...(family === undefined ? [] : ['--family', family])];
  }

  /** A process that ends in good order leaves its compiled modules to those that start after it: half of a start. */
  get #env(): NodeJS.ProcessEnv {
    return { NODE_COMPILE_CACHE: join(this.dir, 'compiled') };
  }

  get #mqttUrl(): string {
    return this.#ready.mqttUrl ?? '';
  }

  #logFile(name: string): string {
    return join(this.dir, `${name}.log`);
  }
}

function portOf(url: string | undefined): string {
  return url === undefined ? '0' : new URL(url).port;
}
