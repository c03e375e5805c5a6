import { type BackoffPolicy, supervise } from '../../shared/backoff.ts';
import type { Packet } from '../history/write/packet.ts';
import { type CommitTotals, type CommitterDeps, createCommitter } from './committer.ts';
import { createPacketQueue, type QueueLimits } from './packet-queue.ts';

/** What may wait for its commit; beyond it packets are dropped, and their senders repeat them. */
const LIMITS: QueueLimits = {
  packets: 50_000,
  bytes: 32 * 1024 * 1024,
  devicePackets: 4_000,
  deviceBytes: 2 * 1024 * 1024,
  batchPackets: 2_000,
  batchBytes: 2 * 1024 * 1024,
};
/** A commit waits this long for more packets, unless a whole batch is there. */
const GATHER_MS = 20;
/** While one batch is committed the next is already on its way: the history never waits for this thread. */
const COMMITS_UNDER_WAY = 2;
const RESTART: BackoffPolicy = { firstMs: 200, capMs: 10_000 };

export interface IngestDeps extends CommitterDeps {
  readonly limits?: QueueLimits;
}

export interface IngestState extends CommitTotals {
  /** Packets that wait for their commit, and their bytes. */
  readonly pending: number;
  readonly pendingBytes: number;
}

export interface Ingest extends AsyncDisposable {
  start(): void;
  /** Takes a packet for the next commit; drops and counts it when too much waits. */
  push(packet: Packet): void;
  state(): IngestState;
}

/**
 * From received packets to the history: gathers them, hands them over in batches, and acknowledges what was
 * committed. A commit that fails keeps its packets and is tried again; nothing else waits for it.
 */
export function createIngest(deps: IngestDeps): Ingest {
  const { clock, random, log, rejects, limits = LIMITS } = deps;
  const stopping = new AbortController();
  const queue = createPacketQueue(limits);
  const committer = createCommitter(deps);
  const underWay = new Set<Promise<void>>();
  /** Batches whose commit was given up because of the stop. */
  const left: (readonly Packet[])[] = [];
  let running: Promise<void> | undefined;

  const send = async (packets: readonly Packet[], signal: AbortSignal): Promise<void> => {
    try {
      await committer.untilCommitted(packets, signal);
    } catch (error) {
      if (signal.aborted) {
        left.push(packets);
        return;
      }
      log.error({ err: error }, 'a commit was given up; devices send their records again');
    }
    queue.done(packets);
  };
  const loop = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await queue.waitFor('packet', signal);
      await Promise.race([queue.waitFor('batch', signal), clock.sleep(GATHER_MS, signal)]);
      while (underWay.size >= COMMITS_UNDER_WAY) await Promise.race(underWay);
      const packets = queue.take();
      if (packets.length === 0) continue;
      const sent = send(packets, signal).finally(() => underWay.delete(sent));
      underWay.add(sent);
    }
  };
  const nextLeft = (): readonly Packet[] => left.shift() ?? queue.take();
  const commitRest = async (): Promise<void> => {
    try {
      for (let packets = nextLeft(); packets.length > 0; packets = nextLeft()) {
        await committer.commitOnce(packets);
        queue.done(packets);
      }
    } catch (error) {
      const packets = queue.size;
      log.warn({ err: error, packets }, 'the last records were not stored; devices send them again');
    }
  };

  return {
    start: () => {
      const onFault = (error: unknown) => log.error({ err: error }, 'ingest failed and is started again');
      running = supervise(loop, stopping.signal, { clock, random, policy: RESTART, onFault });
    },
    push: (packet) => {
      if (stopping.signal.aborted || !queue.push(packet)) {
        rejects.count('overload', `${packet.device}: ${queue.size} packets wait for their commit`);
      }
    },
    state: () => ({ ...committer.totals(), pending: queue.size, pendingBytes: queue.bytes }),
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
      await Promise.all(underWay);
      await commitRest();
    },
  };
}
