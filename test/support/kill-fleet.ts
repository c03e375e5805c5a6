import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { ControllerStateSchema } from '../../controller/api/schemas.ts';
import { askStatus } from '../../shared/control/client.ts';
import { AppError } from '../../shared/errors.ts';
import { parserOf } from '../../shared/schema.ts';
import { until } from '../chaos/until.ts';
import { writeFamily } from './engine-family.ts';
import { type ProgramName, startAndKill, startProcess, type TestProcess } from './processes.ts';

export interface AgentPlan {
  readonly device: string;
  /** Name of its part and of its state folder; the device's when left out: two may have one identity. */
  readonly name?: string;
  /** Where its state folder is, when not among the others. */
  readonly dir?: string;
  readonly brokerUrl?: (realUrl: string) => string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface FleetPlan {
  readonly agents: readonly AgentPlan[];
  /** Whether the controller runs the broker itself; else the broker is a part of its own. */
  readonly isEmbedded?: boolean;
  /** Where the controller's state is, when not among the rest. */
  readonly controllerDir?: string;
}

/** A program of the fleet, as it is started again and again. */
interface Part {
  readonly program: ProgramName;
  readonly args: () => readonly string[];
  readonly env: NodeJS.ProcessEnv;
  running: TestProcess | undefined;
}

/** What the scenarios read of an agent's status. */
const AgentStatusSchema = Type.Object({
  link: Type.Object({ connected: Type.Boolean(), controllerOnline: Type.Boolean() }),
  telemetry: Type.Object({ pending: Type.Number(), windows: Type.Number(), dropped: Type.Number() }),
});
const parseAgentStatus = parserOf(AgentStatusSchema);
const parseControllerState = parserOf(ControllerStateSchema);

/** Light, so that two cores carry several agents, starts are quick, and what is tested has the time. */
const LEVELS = [{}];
const LOAD = ['--window', '100ms', '--frame-rate', '20', '--threads', '1'];
/** So few records may wait when a fleet counts as settled. */
const SETTLED_RECORDS = 20;
const WINDOWS_OF_TRAFFIC = 20;

/** A fleet of real processes: broker, controller and agents apart, windows of 100 ms. */
export class KillFleet implements AsyncDisposable {
  readonly #dir: string;
  readonly #plan: FleetPlan;
  readonly #parts = new Map<string, Part>();
  /** The broker's, which it keeps from start to start. */
  #mqttUrl = '';

  private constructor(dir: string, plan: FleetPlan) {
    this.#dir = dir;
    this.#plan = plan;
    const state = ['--state', this.controllerDir, '--api-port', '0', '--token-file', join(dir, 'token')];
    const port = () => (this.#mqttUrl === '' ? '0' : new URL(this.#mqttUrl).port);
    const broker = () =>
      plan.isEmbedded === true ? ['--broker-port', port()] : ['--broker-url', this.#mqttUrl];
    if (plan.isEmbedded !== true)
      this.#add('broker', 'controller', () => ['broker', '--broker-port', port()]);
    this.#add('controller', 'controller', () => ['serve', ...state, ...broker()]);
    for (const agent of plan.agents) {
      const args = () => ['run', '--device', agent.device, '--state', this.agentDir(agent), ...this.#load];
      const url = () => agent.brokerUrl?.(this.#mqttUrl) ?? this.#mqttUrl;
      this.#add(nameOf(agent), 'agent', () => [...args(), '--broker-url', url()], agent.env);
    }
  }

  static async start(plan: FleetPlan): Promise<KillFleet> {
    const fleet = new KillFleet(await mkdtemp(join(tmpdir(), 'ofa-kill-')), plan);
    try {
      await writeFamily(join(fleet.#dir, 'family'), LEVELS);
      await Promise.all(plan.agents.map((agent) => mkdir(fleet.agentDir(agent), { recursive: true })));
      // Whoever has the broker comes first: the others need its address.
      const first = plan.isEmbedded === true ? 'controller' : 'broker';
      await fleet.start(first);
      const rest = [...fleet.#parts.keys()].filter((name) => name !== first);
      await Promise.all(rest.map((name) => fleet.start(name)));
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get controllerDir(): string {
    return this.#plan.controllerDir ?? join(this.#dir, 'controller');
  }

  get mqttUrl(): string {
    return this.#mqttUrl;
  }

  agentDir(agent: AgentPlan): string {
    return agent.dir ?? join(this.#dir, nameOf(agent));
  }

  get #load(): string[] {
    return [...LOAD, '--family', join(this.#dir, 'family')];
  }

  /** State folders of all agents, with the device that each is. */
  get agentDirs(): { readonly device: string; readonly dir: string }[] {
    return this.#plan.agents.map((agent) => ({ device: agent.device, dir: this.agentDir(agent) }));
  }

  /** What the program wrote to its log so far. */
  logOf(name: string): string {
    return readFileSync(this.#logFile(name), 'utf8');
  }

  pidOf(name: string): number {
    return this.#part(name).running?.child.pid ?? 0;
  }

  async start(name: string): Promise<void> {
    const part = this.#part(name);
    part.running = await startProcess(part.program, part.args(), this.#logFile(name), part.env);
    this.#mqttUrl ||= part.running.ready.mqttUrl ?? '';
  }

  /** Starts a program and kills it before it is ready, if the moment comes early. */
  async startAndKill(name: string, moment: Promise<void>): Promise<void> {
    const { program, args, env } = this.#part(name);
    await startAndKill(program, args(), this.#logFile(name), env, moment);
  }

  async kill9(name: string): Promise<void> {
    const part = this.#part(name);
    await part.running?.kill9();
    part.running = undefined;
  }

  /** Kills programs with -9, all at once, and starts them again as a service manager would. */
  async killAndRestart(...names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.kill9(name)));
    await Promise.all(names.map((name) => this.start(name)));
  }

  /** Asks a program to stop. @throws AppError `system` when it does not end well */
  async stop(name: string): Promise<void> {
    const part = this.#part(name);
    const status = await part.running?.stop();
    part.running = undefined;
    if (status !== undefined && status !== 0) {
      throw new AppError('system', `${name} ended with ${status}: ${this.logOf(name).slice(-500)}`);
    }
  }

  /** Asks the controller. @param path with its query */
  async ask(path: string): Promise<unknown> {
    const token = readFileSync(join(this.#dir, 'token'), 'utf8').trim();
    const url = new URL(path, this.#part('controller').running?.ready.apiUrl);
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    const answer: unknown = await response.json();
    if (response.ok) return answer;
    throw new AppError('system', `${path}: ${response.status} ${JSON.stringify(answer)}`);
  }

  async controllerState() {
    return parseControllerState(await this.ask('/v1/status'), 'state of the controller');
  }

  async agentState(name: string): Promise<Static<typeof AgentStatusSchema>> {
    const plan = this.#plan.agents.find((agent) => nameOf(agent) === name);
    const status = plan === undefined ? undefined : await askStatus(this.agentDir(plan), 5_000);
    return parseAgentStatus(status, `state of ${name}`);
  }

  async storedWindows(): Promise<number> {
    return (await this.controllerState()).history.windows;
  }

  /** Waits until so many more windows have reached the history. */
  async waitForTraffic(windows = WINDOWS_OF_TRAFFIC): Promise<void> {
    const before = await this.storedWindows();
    await until(
      `${windows} windows more than ${before}`,
      async () => (await this.storedWindows()) >= before + windows,
    );
  }

  /** Waits until an agent has a link, and the controller has what it recorded. */
  async waitUntilSettled(name: string): Promise<void> {
    await until(`${name} to be heard`, async () => {
      const { link, telemetry } = await this.agentState(name);
      return link.connected && link.controllerOnline && telemetry.pending <= SETTLED_RECORDS;
    });
  }

  /**
   * Stops everything in good order, agents first: what was recorded has to arrive before.
   * @param agents those that run
   */
  async stopAll(agents: readonly string[] = this.#plan.agents.map(nameOf)): Promise<void> {
    await Promise.all(agents.map((name) => this.waitUntilSettled(name)));
    await Promise.all(agents.map((name) => this.stop(name)));
    await this.stop('controller');
    if (this.#parts.has('broker')) await this.stop('broker');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#parts.values()].map(({ running }) => running?.kill9()));
    await rm(this.#dir, { recursive: true, force: true });
  }

  #add(name: string, program: ProgramName, args: () => readonly string[], env: NodeJS.ProcessEnv = {}): void {
    this.#parts.set(name, { program, args, env, running: undefined });
  }

  #part(name: string): Part {
    const part = this.#parts.get(name);
    if (part === undefined) throw new AppError('not-found', `the fleet has no part '${name}'`);
    return part;
  }

  #logFile(name: string): string {
    return join(this.#dir, `${name}.log`);
  }
}

function nameOf({ device, name = device }: AgentPlan): string {
  return name;
}
