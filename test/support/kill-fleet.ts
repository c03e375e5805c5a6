import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { askStatus } from '../../shared/control/client.ts';
import { openSqliteReadOnly } from '../../shared/sqlite.ts';
import { startProcess, type TestProcess } from './processes.ts';

export type Victim = 'broker' | 'controller' | 'agent';

const DEVICES = ['one', 'two'];
/** Windows that must arrive between two kills, so that each kill meets real traffic. */
const WINDOWS_BETWEEN = 20;
const PATIENCE = { timeout: 60_000, interval: 50 };

/** A small fleet of real processes: broker, controller and agents apart, windows of 100 ms. */
export class KillFleet implements AsyncDisposable {
  readonly #dir: string;
  #broker: TestProcess | undefined;
  #controller: TestProcess | undefined;
  readonly #agents = new Map<string, TestProcess>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async start(): Promise<KillFleet> {
    const fleet = new KillFleet(await mkdtemp(join(tmpdir(), 'ofa-kill-')));
    await fleet.#startBroker('0');
    await fleet.#startController();
    await Promise.all(DEVICES.map((device) => fleet.#startAgent(device)));
    return fleet;
  }

  get #mqttUrl(): string {
    return this.#broker?.ready.mqttUrl ?? '';
  }

  #log(name: string): string {
    return join(this.#dir, `${name}.log`);
  }

  async #startBroker(port: string): Promise<void> {
    this.#broker = await startProcess('controller', ['broker', '--broker-port', port], this.#log('broker'));
  }

  async #startController(): Promise<void> {
    const args = ['serve', '--state', join(this.#dir, 'controller'), '--api-port', '0'];
    const rest = ['--broker-url', this.#mqttUrl, '--token-file', join(this.#dir, 'token')];
    this.#controller = await startProcess('controller', [...args, ...rest], this.#log('controller'));
  }

  async #startAgent(device: string): Promise<void> {
    const state = join(this.#dir, device);
    await mkdir(state, { recursive: true });
    const args = ['run', '--device', device, '--state', state, '--broker-url', this.#mqttUrl];
    const load = ['--window', '100ms', '--frame-rate', '50'];
    this.#agents.set(device, await startProcess('agent', [...args, ...load], this.#log(device)));
  }

  /** Kills one program with -9 and starts it again as a service manager would. */
  async killAndRestart(victim: Victim): Promise<void> {
    if (victim === 'broker') {
      const { port } = new URL(this.#mqttUrl);
      await this.#broker?.kill9();
      await this.#startBroker(port);
    } else if (victim === 'controller') {
      await this.#controller?.kill9();
      await this.#startController();
    } else {
      const [device = ''] = DEVICES;
      await this.#agents.get(device)?.kill9();
      await this.#startAgent(device);
    }
  }

  async #storedWindows(): Promise<number> {
    const token = readFileSync(join(this.#dir, 'token'), 'utf8').trim();
    const url = new URL('/v1/status', this.#controller?.ready.apiUrl);
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    const status: unknown = await response.json();
    expect(status).toHaveProperty('history.windows');
    return (status as { history: { windows: number } }).history.windows;
  }

  /** Waits until so many more windows have reached the history. */
  async waitForTraffic(): Promise<void> {
    const before = await this.#storedWindows();
    await vi.waitFor(
      async () => expect(await this.#storedWindows()).toBeGreaterThan(before + WINDOWS_BETWEEN),
      PATIENCE,
    );
  }

  /**
   * Stops everything in good order and holds the history against what every agent wrote into its own
   * state folder: for every boot the same number of windows and events, each sequence number once.
   */
  async expectExactlyOnce(): Promise<void> {
    // A link that waits to come back is given the time to: what was recorded has to arrive.
    for (const device of DEVICES) await vi.waitFor(() => this.#expectLinkUp(device), PATIENCE);
    await this.waitForTraffic();
    for (const agent of this.#agents.values()) expect(await agent.stop()).toBe(0);
    expect(await this.#controller?.stop()).toBe(0);
    await this.#broker?.stop();
    for (const device of DEVICES) expect(this.#stored(device)).toEqual(this.#recorded(device));
  }

  async #expectLinkUp(device: string): Promise<void> {
    const status = await askStatus(join(this.#dir, device), 1_000);
    expect(status).toHaveProperty('link', { connected: true, controllerOnline: true });
  }

  #recorded(device: string) {
    const database = openSqliteReadOnly(join(this.#dir, device, 'agent.db'));
    const boots = database
      ?.prepare('SELECT boot_id, windows, events, last_seq FROM boots ORDER BY boot_id')
      .all();
    database?.close();
    return boots;
  }

  #stored(device: string) {
    const database = openSqliteReadOnly(join(this.#dir, 'controller', 'history.db'));
    const rows = database
      ?.prepare(
        `SELECT boot_id, sum(kind = 'window') AS windows, sum(kind = 'event') AS events, max(seq) AS last_seq
         FROM (SELECT boot_id, seq, 'window' AS kind FROM windows WHERE device = $device
               UNION ALL SELECT boot_id, seq, 'event' FROM events WHERE device = $device AND kind <> 'alarm')
         GROUP BY boot_id ORDER BY boot_id`,
      )
      .all({ device });
    database?.close();
    return rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [...this.#agents.values(), this.#controller, this.#broker]) await process?.kill9();
    await rm(this.#dir, { recursive: true, force: true });
  }
}
