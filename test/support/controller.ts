import { pino } from 'pino';
import { vi } from 'vitest';
import { type ControllerConfig, loadControllerConfig } from '../../controller/config.ts';
import { type Controller, startController } from '../../controller/controller.ts';
import { systemClock } from '../../shared/clock.ts';
import { connectMqtt, type MqttConnection } from '../../shared/mqtt.ts';
import type { Ack, EventBody, EventEnvelope } from '../../shared/protocol/event.ts';
import { decodeMessage, encodeMessage, type Payload, packMessage } from '../../shared/protocol/messages.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import type { PointWindow, WindowBody, WindowEnvelope } from '../../shared/protocol/window.ts';
import { toWire, type WireWindowEnvelope } from '../../shared/protocol/window-wire.ts';
import { distributionOf } from './windows.ts';

export const silentLog = pino({ level: 'silent' });

export const FLEET = 'lab';

/** A configuration with an embedded broker on free ports. */
export function configFor(stateDir: string, change: Partial<ControllerConfig> = {}): ControllerConfig {
  const { values } = loadControllerConfig({ env: {}, flags: {} });
  return {
    ...values,
    state: { dir: stateDir },
    fleet: FLEET,
    api: { host: '127.0.0.1', port: 0 },
    broker: { ...values.broker, port: 0 },
    log: { level: 'error' },
    ...change,
  };
}

export interface Answer {
  readonly status: number;
  // The tests state what they expect of it.
  readonly body: unknown;
}

export interface TestController extends AsyncDisposable {
  readonly controller: Controller;
  readonly token: string;
  /** Asks the API with the token. */
  ask(method: string, path: string, body?: unknown): Promise<Answer>;
}

/** Starts a whole controller: embedded broker, real database, real HTTP. */
export async function runController(
  stateDir: string,
  options: { token?: string; config?: Partial<ControllerConfig> } = {},
): Promise<TestController> {
  const config = configFor(stateDir, options.config);
  const controller = await startController(config, { clock: systemClock, log: silentLog });
  const token = options.token ?? controller.token ?? '';
  return {
    controller,
    token,
    ask: async (method, path, body) => {
      const response = await fetch(`${controller.apiUrl}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
    },
    [Symbol.asyncDispose]: () => controller[Symbol.asyncDispose](),
  };
}

export interface DeviceOptions {
  readonly url: string;
  readonly id: string;
  readonly bootId?: string;
  readonly session?: string;
}

/** An agent as the controller sees it: it says what a test makes it say, and keeps what it hears. */
export interface ScriptedDevice extends AsyncDisposable {
  readonly id: string;
  readonly bootId: string;
  readonly connection: MqttConnection;
  readonly acks: Ack[];
  readonly desired: Payload<'desired'>[];
  readonly commands: { id: string; command: Payload<'command'> }[];
  status(state: 'online' | 'offline', session?: string): Promise<void>;
  sendWindows(...windows: WindowEnvelope[]): Promise<void>;
  sendEvent(event: EventEnvelope): Promise<void>;
  publish(topic: string, payload: string | Uint8Array): Promise<void>;
  /** Waits until exactly this sequence number was acknowledged. */
  acknowledged(seq: number): Promise<void>;
}

export async function connectDevice({ url, id, ...options }: DeviceOptions): Promise<ScriptedDevice> {
  const { bootId = '0000aaaa-0001', session = `session-of-${id}` } = options;
  const heard: Pick<ScriptedDevice, 'acks' | 'desired' | 'commands'> = {
    acks: [],
    desired: [],
    commands: [],
  };
  const at = { fleet: FLEET, device: id };
  const statusOf = (state: 'online' | 'offline', of = session) =>
    encodeMessage('status', { state, session: of, bootId, ts: systemClock.now() });
  const connection = await connectMqtt({
    url,
    clientId: `${id}-${bootId}`,
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    will: { topic: topicOf('status', at), payload: statusOf('offline') },
    onMessage: (topic, bytes) => {
      const message = decodeMessage(topic, bytes);
      if (!message.ok) return;
      if (message.kind === 'ack') heard.acks.push(message.payload);
      if (message.kind === 'desired') heard.desired.push(message.payload);
      if (message.kind === 'command') {
        heard.commands.push({ id: message.parameters.id, command: message.payload });
      }
    },
  });
  await connection.subscribe([
    topicOf('ack', at),
    topicOf('desired', at),
    topicOf('command', { ...at, id: '+' }),
  ]);
  const isAcknowledged = (seq: number) =>
    heard.acks.some(
      (ack) => ack.bootId === bootId && ack.ranges.some(([from, to]) => from <= seq && seq <= to),
    );
  return {
    id,
    bootId,
    connection,
    ...heard,
    status: (state, of) => connection.publish(topicOf('status', at), statusOf(state, of), { retain: true }),
    sendWindows: (...windows) =>
      connection.publish(topicOf('telemetry', at), packMessage('telemetry', windows.map(wireOf))),
    sendEvent: (event) => connection.publish(topicOf('event', at), JSON.stringify(event)),
    publish: (topic, payload) => connection.publish(topic, payload),
    acknowledged: (seq) =>
      vi.waitFor(
        () => {
          if (!isAcknowledged(seq)) throw new Error(`record ${seq} of ${id} is not acknowledged`);
        },
        { timeout: 10_000, interval: 10 },
      ),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

/** What an operating point did, made from its latencies. */
export function pointOf(latenciesMs: readonly number[], change: Partial<PointWindow> = {}): PointWindow {
  return {
    pe: 'cpu',
    level: 0,
    inferences: latenciesMs.length,
    misses: 0,
    labelled: latenciesMs.length,
    correct: latenciesMs.length,
    latencyMs: distributionOf(latenciesMs),
    ...change,
  };
}

export interface WindowOptions {
  readonly device?: string;
  readonly bootId?: string;
  readonly seq?: number;
  readonly ts?: number;
  readonly body?: Partial<WindowBody>;
}

export function windowOf(options: WindowOptions = {}): WindowEnvelope {
  const {
    device = 'jetson-1',
    bootId = '0000aaaa-0001',
    seq = 1,
    ts = systemClock.now(),
    body = {},
  } = options;
  return {
    v: 1,
    device,
    bootId,
    seq,
    ts,
    monoMs: seq * 10_000,
    clock: 'synced',
    body: {
      durationMs: 10_000,
      family: 'f'.repeat(64),
      points: [pointOf([10, 20, 30])],
      switches: 0,
      skipped: 0,
      unreadable: 0,
      failed: 0,
      slowdown: 1,
      requirement: { latencyMs: 50 },
      ...body,
    },
  };
}

/** A window as it travels. */
export function wireOf(window: WindowEnvelope): WireWindowEnvelope {
  return { ...window, body: toWire(window.body) };
}

export function eventOf(options: Omit<WindowOptions, 'body'> & { body?: EventBody } = {}): EventEnvelope {
  const { body = { kind: 'fault', what: 'camera', reason: 'no frame' }, ...rest } = options;
  return { ...windowOf(rest), body };
}

/** Waits for a condition, as long as a slow machine may need for it. */
export function eventually(check: () => void | Promise<void>): Promise<void> {
  return vi.waitFor(check, { timeout: 15_000, interval: 20 });
}
