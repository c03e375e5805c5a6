import { randomUUID } from 'node:crypto';
import { vi } from 'vitest';
import { type Agent, startAgent } from '../../agent/agent.ts';
import { type AgentConfig, loadAgentConfig } from '../../agent/config.ts';
import { systemClock } from '../../shared/clock.ts';
import { askControl, askStatus } from '../../shared/control/client.ts';
import { connectMqtt } from '../../shared/mqtt.ts';
import type { EventEnvelope } from '../../shared/protocol/event.ts';
import { decodeMessage, encodeMessage, type JsonKind, type Payload } from '../../shared/protocol/messages.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import { type TopicParameters, topicOf } from '../../shared/protocol/topics.ts';
import type { WindowEnvelope } from '../../shared/protocol/window.ts';
import { fromWire } from '../../shared/protocol/window-wire.ts';
import { keptLog } from './agent.ts';

export const AT = { fleet: 'lab', device: 'jetson-1' };

export interface AgentChange {
  readonly family?: string;
  readonly source?: string;
  readonly windowMs?: number;
  /** Further values of the configuration, as flags state them. */
  readonly flags?: Readonly<Record<string, string>>;
}

/** Runs a whole agent on a state folder: bundled family, real engine, short windows. */
export async function runAgent(
  stateDir: string,
  brokerUrl: string,
  change: AgentChange = {},
): Promise<Agent> {
  const { values } = loadAgentConfig({
    env: {},
    flags: {
      fleet: AT.fleet,
      device: AT.device,
      'state.dir': stateDir,
      'broker.url': brokerUrl,
      'engine.threads': '1',
      ...change.flags,
    },
  });
  const config: AgentConfig = {
    ...values,
    family: { dir: change.family ?? values.family.dir },
    frames: { ...values.frames, source: change.source ?? values.frames.source },
    telemetry: { windowMs: change.windowMs ?? 200 },
  };
  return await startAgent({
    config,
    logging: { log: keptLog().log, ring: { newest: () => [] } },
    clock: systemClock,
    random: () => 0.1,
    newId: randomUUID,
    // What is tested is what comes of a profile, not how exact it is.
    profiling: { rounds: 4, threadRounds: 3, periodMs: 1 },
    onFatal: (error) => {
      throw error;
    },
  });
}

/** What a running agent says of itself over its socket. */
export function statusOf(stateDir: string): Promise<unknown> {
  return askStatus(stateDir, 5_000);
}

/** What a running agent answers to a question over its socket. */
export function ask(stateDir: string, request: Parameters<typeof askControl>[1]): Promise<unknown> {
  return askControl(stateDir, request, 5_000);
}

/** A controller that does what a test says, and acknowledges only when it is told to. */
export interface ScriptedController extends AsyncDisposable {
  readonly windows: WindowEnvelope[];
  readonly events: EventEnvelope[];
  readonly reports: Reported[];
  readonly results: Payload<'commandResult'>[];
  /** From now on everything is acknowledged as it comes. */
  acknowledgeAll(): Promise<void>;
  send<K extends JsonKind>(kind: K, parameters: TopicParameters<K>, payload: Payload<K>): Promise<void>;
  sendRaw(topic: string, payload: string): Promise<void>;
}

export async function connectController(url: string): Promise<ScriptedController> {
  const windows: WindowEnvelope[] = [];
  const events: EventEnvelope[] = [];
  const reports: Reported[] = [];
  const results: Payload<'commandResult'>[] = [];
  let acknowledges = false;
  const acknowledge = async (records: readonly (WindowEnvelope | EventEnvelope)[]): Promise<void> => {
    for (const { bootId, seq } of records) {
      await connection.publish(topicOf('ack', AT), encodeMessage('ack', { bootId, ranges: [[seq, seq]] }));
    }
  };
  const taken = (records: readonly (WindowEnvelope | EventEnvelope)[]): void => {
    if (acknowledges) acknowledge(records).catch(() => undefined);
  };
  const connection = await connectMqtt({
    url,
    clientId: 'controller',
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    onMessage: (topic, bytes) => {
      const message = decodeMessage(topic, bytes);
      if (!message.ok) return;
      if (message.kind === 'telemetry') {
        const batch = [message.payload].flat().map((each) => ({ ...each, body: fromWire(each.body) }));
        windows.push(...batch);
        taken(batch);
      } else if (message.kind === 'event') {
        events.push(message.payload);
        taken([message.payload]);
      } else if (message.kind === 'reported') reports.push(message.payload);
      else if (message.kind === 'commandResult') results.push(message.payload);
    },
  });
  const kinds = ['telemetry', 'event', 'reported'] as const;
  await connection.subscribe([
    ...kinds.map((kind) => topicOf(kind, AT)),
    topicOf('commandResult', { ...AT, id: '+' }),
  ]);
  const status = encodeMessage('controllerStatus', { state: 'online', session: 'a', ts: 1 });
  await connection.publish(topicOf('controllerStatus', AT), status, { retain: true });
  return {
    windows,
    events,
    reports,
    results,
    acknowledgeAll: async () => {
      acknowledges = true;
      await acknowledge([...windows, ...events]);
    },
    send: (kind, parameters, payload) =>
      connection.publish(topicOf(kind, parameters), encodeMessage(kind, payload), {
        retain: kind !== 'command',
      }),
    sendRaw: (topic, payload) => connection.publish(topic, payload),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

/** Waits for a condition, as long as a slow machine may need for it. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 20_000, interval: 20 });
}
