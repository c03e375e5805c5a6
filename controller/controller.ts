import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import { packageVersion } from '../shared/package.ts';
import { encodeMessage } from '../shared/protocol/messages.ts';
import { topicOf } from '../shared/protocol/topics.ts';
import type { ControllerState } from './api/schemas.ts';
import { startApi } from './api/server.ts';
import { ensureToken } from './api/token.ts';
import { startBroker } from './broker/broker.ts';
import { type Commands, createCommands } from './commands/commands.ts';
import { type ControllerConfig, checkControllerConfig } from './config.ts';
import { createDesired, type DesiredState } from './desired/desired.ts';
import { type History, openHistory } from './history/history.ts';
import { createIngest, type Ingest } from './ingest/ingest.ts';
import { createReceiver } from './ingest/receive.ts';
import { createRejects, type Rejects } from './ingest/rejects.ts';
import { createLink, type Link, type LinkDeps, type LinkOptions } from './link/link.ts';
import { createDevices, type Devices } from './registry/devices.ts';
import { createGroups, type Groups } from './registry/groups.ts';

export interface ControllerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: Random;
}

export interface Controller extends AsyncDisposable {
  readonly apiUrl: string;
  readonly mqttUrl: string;
  /** Of the API; only when it was made now and stands in no file. */
  readonly token: string | undefined;
}

/** All parts of a running controller. */
interface Parts {
  readonly history: History;
  readonly rejects: Rejects;
  readonly devices: Devices;
  readonly groups: Groups;
  readonly desired: DesiredState;
  readonly commands: Commands;
  readonly ingest: Ingest;
  readonly link: Link;
}

/**
 * Starts the controller: history, broker, link, ingest, API. When one part cannot start, those before it
 * are ended again.
 * @throws AppError `conflict` when another controller has the state folder, or a port is taken
 */
export async function startController(config: ControllerConfig, deps: ControllerDeps): Promise<Controller> {
  checkControllerConfig(config);
  await using stack = new AsyncDisposableStack();
  const history = stack.use(openHistory(config.state.dir));
  const epoch = epochOf(history, deps.clock);
  const { meta } = history;
  const token = await ensureToken({ meta, tokenFile: config.tokenFile, randomBytes });
  const mqttUrl = await brokerUrl(config, deps.log, stack);
  const { username, password } = config.broker;
  const { fleet } = config;
  const broker = { url: mqttUrl, fleet, username: username || undefined, password: password || undefined };
  const parts = assemble({ random: systemRandom, ...deps, fleet, history, epoch, broker });
  stack.use(parts.devices);
  stack.use(parts.link);
  stack.use(parts.ingest);
  parts.desired.syncGroups();
  parts.devices.start();
  parts.ingest.start();
  parts.link.start();
  const startedTs = deps.clock.now();
  const state = () => stateOf(parts, { fleet, epoch, startedTs });
  const { host, port } = config.api;
  const options = { host, port, version: packageVersion(), tokenSha256: token.sha256, log: deps.log };
  const api = stack.use(await startApi(options, { ...parts, clock: deps.clock, state }));
  deps.log.info({ api: api.url, mqtt: mqttUrl, state: config.state.dir }, 'controller runs');
  const running = stack.move();
  return {
    apiUrl: api.url,
    mqttUrl,
    token: token.token,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function brokerUrl(
  { broker }: ControllerConfig,
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<string> {
  if (broker.url !== '') return broker.url;
  const embedded = stack.use(await startBroker({ host: broker.host, port: broker.port, log }));
  return embedded.url;
}

/**
 * The epoch of a state folder: the second in which it was made. Devices keep what an older folder told
 * them; a folder that was made anew must come after it.
 */
function epochOf({ meta }: History, clock: Clock): number {
  const known = meta.get('epoch');
  if (known !== undefined) return Number(known);
  const epoch = Math.max(1, Math.floor(clock.now() / 1_000));
  meta.set('epoch', String(epoch));
  return epoch;
}

interface Foundation extends Required<ControllerDeps> {
  readonly fleet: string;
  readonly history: History;
  readonly epoch: number;
  readonly broker: LinkOptions;
}

/** Wires the parts. Nothing acts yet; what flows in a circle flows through these functions. */
function assemble(foundation: Foundation): Parts {
  const { fleet, history, epoch, clock, log } = foundation;
  const rejects = createRejects({ clock, log });
  const groups = createGroups(history.groups);
  const devices = createDevices({ ...foundation, onNew: (ids) => desired.syncGroups(ids) });
  const desired = createDesired({
    history,
    devices,
    groups,
    fleet,
    epoch,
    publish: (message) => link.retain(message),
  });
  const publish = (topic: string, payload: string) => link.publish(topic, payload);
  const commands = createCommands({ clock, newId: randomUUID, fleet, devices, publish });
  const ingest = createIngest({
    ...foundation,
    rejects,
    commit: history.commit,
    onCommitted: (records, ts) => devices.seen(new Set(records.map(({ envelope }) => envelope.device)), ts),
    acknowledge: (device, ack) => {
      const topic = topicOf('ack', { fleet, device });
      // A lost acknowledgement is made good by the device, which then repeats its records.
      publish(topic, encodeMessage('ack', ack)).catch((error: unknown) => log.debug({ err: error }, topic));
    },
  });
  const link: Link = createLink({
    ...foundation,
    options: foundation.broker,
    newId: randomUUID,
    onMessage: receiverOf({ rejects, devices, commands, ingest }, log),
    retainedSet: () => desired.messages(),
  });
  return { history, rejects, devices, groups, desired, commands, ingest, link };
}

/** Leads every message to the part that it is for. */
function receiverOf(
  { rejects, devices, commands, ingest }: Pick<Parts, 'rejects' | 'devices' | 'commands' | 'ingest'>,
  log: Logger,
): LinkDeps['onMessage'] {
  return createReceiver({
    rejects,
    admit: (device) => devices.admit(device),
    onRecord: (record) => ingest.push(record),
    onStatus: (device, status) => devices.takeStatus(device, status),
    onReported: (device, reported) => devices.takeReported(device, reported),
    onCommandResult: (device, id, result) => commands.takeResult(device, id, result),
    onFault: (error) => log.error({ err: error }, 'a message could not be handled'),
  });
}

/** Chance from the system's own source, for delays. */
function systemRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}

function stateOf(
  { history, rejects, devices, ingest, link }: Parts,
  fixed: Pick<ControllerState, 'fleet' | 'epoch' | 'startedTs'>,
): ControllerState {
  const { stalled, ...totals } = ingest.state();
  return {
    version: packageVersion(),
    ...fixed,
    mqtt: { connected: link.connected() },
    devices: devices.count(),
    ingest: { ...totals, rejected: rejects.counts(), ...(stalled === undefined ? {} : { stalled }) },
    history: { ...history.counts(), bytes: history.bytes() },
  };
}
