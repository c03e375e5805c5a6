import { describeError } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import type { Ack } from '../shared/protocol/event.ts';
import type { KeyringMessage } from '../shared/protocol/release.ts';
import type { CommandRunner } from './commands/commands.ts';
import type { DesiredStore } from './desired/documents.ts';
import type { ControllerGate } from './link/controller-gate.ts';
import type { GoodMessage, Uplink } from './link/link.ts';
import { createRecordSender, type Identity } from './link/record-sender.ts';
import type { Reporter } from './report/reporter.ts';
import type { Publisher } from './telemetry/publisher.ts';
import type { ChunkChannel, Fetcher } from './transfer/fetcher.ts';

export interface UplinkSessionDeps {
  readonly identity: Identity;
  readonly gate: ControllerGate;
  readonly reporter: Reporter;
  readonly publisher: Publisher;
  readonly desired: DesiredStore;
  readonly commands: CommandRunner;
  readonly fetcher: Pick<Fetcher, 'receive' | 'linkUp' | 'linkDown'>;
  readonly log: Logger;
  /** A keyring has come. */
  readonly onKeyring: (message: KeyringMessage) => Promise<void>;
  /** Desired documents have changed. */
  readonly onDesired: () => void;
}

/** What the agent does with its link: both directions, whichever connection it is. */
export interface UplinkSession {
  whileUp(uplink: Uplink, signal: AbortSignal): Promise<void>;
  receive(message: GoodMessage): void;
  readonly isUp: boolean;
}

/** Makes the session; it holds the connection of the moment and nothing that outlives one. */
export function createUplinkSession(deps: UplinkSessionDeps): UplinkSession {
  const { identity, gate, desired } = deps;
  let up: Uplink | undefined;

  const groupsNow = (): string[] => desired.current().device?.groups?.map(({ name }) => name) ?? [];
  const drainWhileControllerIsOnline = async (uplink: Uplink, signal: AbortSignal): Promise<void> => {
    const sender = createRecordSender(uplink, identity);
    while (!signal.aborted) {
      const session = await gate.online(signal);
      if (session !== undefined) await deps.publisher.drain(sender, AbortSignal.any([signal, session]));
    }
  };
  const inBackground = (work: Promise<void>, what: string): void => {
    work.catch((error: unknown) => deps.log.warn(`${what}: ${describeError(error)}`));
  };
  const taken = (isNew: boolean): void => {
    if (!isNew) return;
    deps.onDesired();
    if (up !== undefined) inBackground(up.followGroups(groupsNow()), 'groups');
  };
  const acknowledge = (ack: Ack): void => {
    try {
      deps.publisher.acknowledged(ack);
    } catch (error) {
      // The records stay and are sent again; the history absorbs repeats.
      deps.log.warn(`the outbox cannot forget what was acknowledged: ${describeError(error)}`);
    }
  };
  const answer = async ({ parameters, payload }: Extract<GoodMessage, { kind: 'command' }>) => {
    const result = await deps.commands.run(parameters.id, payload);
    // By whichever connection there is then: some answers take a while.
    await up?.publish({ kind: 'commandResult', parameters, payload: result });
  };

  return {
    get isUp() {
      return up !== undefined;
    },
    whileUp: async (uplink, signal) => {
      up = uplink;
      deps.fetcher.linkUp(channelOver(uplink, identity));
      try {
        await uplink.followGroups(groupsNow());
        const publishReport = (payload: Parameters<Parameters<Reporter['run']>[0]>[0]) =>
          uplink.publish({ kind: 'reported', parameters: identity, payload, retain: true });
        await Promise.all([
          deps.reporter.run(publishReport, signal),
          drainWhileControllerIsOnline(uplink, signal),
        ]);
      } finally {
        up = undefined;
        deps.fetcher.linkDown();
        gate.reset();
      }
    },
    receive: (message) => {
      switch (message.kind) {
        case 'controllerStatus':
          return gate.heard(message.payload);
        case 'ack':
          return acknowledge(message.payload);
        case 'fleetDesired':
          return taken(desired.acceptFleet(message.payload));
        case 'groupDesired':
          return taken(desired.acceptGroup(message.parameters.group, message.payload));
        case 'desired':
          return taken(desired.acceptDevice(message.payload));
        case 'command':
          return inBackground(answer(message), `result of command ${message.parameters.id}`);
        case 'keyring':
          return inBackground(deps.onKeyring(message.payload), 'keyring');
        case 'chunk':
          return deps.fetcher.receive(
            message.parameters.sha256,
            Number(message.parameters.n),
            message.payload,
          );
        default:
          return;
      }
    },
  };
}

/** What a link carries of blobs. */
function channelOver(uplink: Uplink, parameters: Identity): ChunkChannel {
  const followed = new Set<string>();
  return {
    follow: async (blobs) => {
      for (const sha256 of blobs) followed.add(sha256);
      await uplink.followBlobs([...followed]);
    },
    unfollow: async (blobs) => {
      for (const sha256 of blobs) followed.delete(sha256);
      await uplink.followBlobs([...followed]);
    },
    want: (payload) => uplink.publish({ kind: 'want', parameters, payload }),
  };
}
