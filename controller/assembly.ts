import { randomUUID } from 'node:crypto';
import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import { encodeMessage } from '../shared/protocol/messages.ts';
import type { Reported } from '../shared/protocol/reported.ts';
import { topicOf } from '../shared/protocol/topics.ts';
import { type Alerting, createAlerting } from './alerts/alerting.ts';
import type { AlertsConfig } from './alerts/config.ts';
import type { Webhook } from './alerts/webhook.ts';
import { type Commands, createCommands } from './commands/commands.ts';
import { createDesired, type DesiredState } from './desired/desired.ts';
import type { History } from './history/history.ts';
import { createIngest, type Ingest } from './ingest/ingest.ts';
import { createReceiver } from './ingest/receive.ts';
import { createRejects, type Rejects } from './ingest/rejects.ts';
import type { Keys } from './keys/keys.ts';
import { createLink, type Link, type LinkDeps, type LinkOptions } from './link/link.ts';
import { type Alarms, createAlarms } from './registry/alarms.ts';
import { createDevices, type Devices } from './registry/devices.ts';
import { createGroups, type Groups } from './registry/groups.ts';
import type { Releases } from './releases/releases.ts';
import { createRollouts, type Rollouts } from './rollouts/rollouts.ts';
import { createAlertStore } from './store/alert-store.ts';
import type { FleetStore } from './store/fleet-store.ts';
import { createRolloutStore } from './store/rollout-store.ts';
import {
  createTransferServer,
  type TransferLimits,
  type TransferServer,
} from './transfer/transfer-server.ts';

/** What all parts stand on. */
export interface Foundation {
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: Random;
  readonly fleet: string;
  readonly epoch: number;
  readonly store: FleetStore;
  readonly history: History;
  readonly keys: Keys;
  readonly releases: Releases;
  readonly broker: LinkOptions;
  readonly transfer: TransferLimits;
  readonly alerts: AlertsConfig;
  /** Who is told of alerts; undefined: nobody. */
  readonly webhook: Webhook | undefined;
  /** Told of every try to commit. */
  readonly onCommit: (durationMs: number, outcome: 'stored' | 'failed') => void;
}

/** The parts of a running controller that speak to the fleet. */
export interface Parts {
  readonly history: History;
  readonly rejects: Rejects;
  readonly alarms: Alarms;
  readonly devices: Devices;
  readonly groups: Groups;
  readonly desired: DesiredState;
  readonly commands: Commands;
  readonly keys: Keys;
  readonly releases: Releases;
  readonly transfer: TransferServer;
  readonly rollouts: Rollouts;
  readonly ingest: Ingest;
  readonly link: Link;
  readonly alerts: Alerting;
  /** Takes a message of an agent; it never throws. */
  readonly receive: LinkDeps['onMessage'];
}

/** Wires the parts. Nothing acts yet; what flows in a circle flows through these functions. */
export function assemble(foundation: Foundation): Parts {
  const { fleet, store, history, keys, releases, clock, log } = foundation;
  const rejects = createRejects({ clock, log });
  const alarms = createAlarms({ ...foundation, raise: (alarm) => history.raise(alarm) });
  const groups = createGroups(store.groups);
  const devices = createDevices({ ...foundation, alarms, onNew: (ids) => desired.syncGroups(ids) });
  const desired = createDesired({
    ...foundation,
    devices,
    groups,
    publish: (message) => link.retain(message),
  });
  const publish: Link['publish'] = (topic, payload) => link.publish(topic, payload);
  const transfer = createTransferServer({
    ...foundation,
    limits: foundation.transfer,
    publish,
    hasBlob: releases.hasBlob,
    readChunk: releases.readChunk,
    expectsMore: (blob) => rollouts.expectsMore(blob),
  });
  const rollouts = rolloutsOf(foundation, { devices, groups, desired });
  const commands = createCommands({ clock, newId: randomUUID, fleet, devices, publish });
  const ingest = createIngest({
    ...foundation,
    rejects,
    commit: timedCommit(foundation),
    onCommitted: ({ newEvents, newest }) => {
      alerts.onEvents(newEvents);
      alerts.onNewest(newest);
    },
    onSeen: (ids, ts) => devices.seen(ids, ts),
    acknowledge: (device, ack) => {
      const topic = topicOf('ack', { fleet, device });
      // A lost acknowledgement is made good by the device, which then repeats its records.
      publish(topic, encodeMessage('ack', ack)).catch((error: unknown) => log.debug({ err: error }, topic));
    },
  });
  const onReported = (device: string, reported: Reported) => {
    alerts.onReported(device, reported);
    rollouts.onReported(device, reported);
  };
  const receive = receiverOf({ rejects, devices, commands, transfer, ingest, rollouts, onReported }, log);
  const link: Link = createLink({
    ...foundation,
    options: foundation.broker,
    newId: randomUUID,
    onMessage: receive,
    retainedSet: () => [...desired.messages(), ...listOf(keys.message())],
  });
  const alerts = createAlerting({
    ...foundation,
    config: foundation.alerts,
    store: createAlertStore(store.sqlite),
    devices,
    latest: (ids) => history.latest(ids),
    events: (range) => history.events(range),
    stalled: () => ingest.state().stalled,
    connected: () => link.connected(),
  });
  return {
    ...{ history, rejects, alarms, devices, groups, desired, commands, ingest, link, alerts, receive },
    ...{ keys, releases, transfer, rollouts },
  };
}

function rolloutsOf(
  foundation: Foundation,
  { devices, groups, desired }: Pick<Parts, 'devices' | 'groups' | 'desired'>,
): Rollouts {
  const { store, history, releases } = foundation;
  return createRollouts({
    ...foundation,
    ...{ devices, groups, releases },
    store: { transaction: store.transaction, rollouts: createRolloutStore(store.sqlite) },
    orders: {
      give: (kind, orders) => desired.giveOrders(kind, orders),
      of: (device, kind) => desired.orderOf(device, kind),
    },
    query: (question) => history.query(question),
  });
}

/** Commits, and tells how long that took. */
function timedCommit({ history, clock, onCommit }: Foundation): History['commit'] {
  return async (packets, receivedTs) => {
    const startedMs = clock.monoMs();
    let outcome: 'stored' | 'failed' = 'failed';
    try {
      const result = await history.commit(packets, receivedTs);
      outcome = 'stored';
      return result;
    } finally {
      onCommit(clock.monoMs() - startedMs, outcome);
    }
  };
}

type Receivers = Pick<Parts, 'rejects' | 'devices' | 'commands' | 'transfer' | 'ingest' | 'rollouts'> & {
  readonly onReported: (device: string, reported: Reported) => void;
};

/** Leads every message to the part that it is for. */
function receiverOf(
  { rejects, devices, commands, transfer, ingest, rollouts, onReported }: Receivers,
  log: Logger,
): LinkDeps['onMessage'] {
  return createReceiver({
    rejects,
    admit: (device) => devices.admit(device),
    onPacket: (packet) => ingest.push(packet),
    onStatus: (device, status) => {
      devices.takeStatus(device, status);
      rollouts.onPresence();
    },
    onReported: (device, reported) => {
      devices.takeReported(device, reported);
      onReported(device, reported);
    },
    onCommandResult: (device, id, result) => commands.takeResult(device, id, result),
    onWant: (device, want) => transfer.want(device, want),
    onFault: (error) => log.error({ err: error }, 'a message could not be handled'),
  });
}

/** Starts what runs by itself; the stack ends it, last started first. */
export function startParts(parts: Parts, stack: AsyncDisposableStack): void {
  const { alarms, devices, alerts, ingest, link, transfer, rollouts, desired } = parts;
  const active = [alarms, devices, alerts, ingest, link, transfer, rollouts];
  for (const part of active) stack.use(part);
  desired.syncGroups();
  for (const part of active) part.start();
}

function listOf<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value];
}
