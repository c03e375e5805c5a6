import { type BackoffPolicy, backoffMs, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Ack } from '../../shared/protocol/event.ts';
import { isFull, isOfData } from '../../shared/sqlite.ts';
import type { CommitResult, TelemetryRecord } from '../history/history.ts';
import { type BoundedQueue, createQueue } from './queue.ts';
import { acksOf } from './ranges.ts';
import type { Rejects } from './rejects.ts';

/** Records that wait for their commit, at most; beyond it new ones are dropped, and their senders repeat them. */
const MAX_PENDING = 20_000;
/** A commit waits this long for more records, */
const GATHER_MS = 20;
/** unless so many are there. */
const BATCH_RECORDS = 500;
const RETRY: BackoffPolicy = { firstMs: 200, capMs: 10_000 };

export interface IngestDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly rejects: Rejects;
  /** Stores all or, when it throws, none. */
  readonly commit: (records: readonly TelemetryRecord[], receivedTs: number) => CommitResult;
  /** Called after each commit with the records that are in the history now, new or not. */
  readonly onCommitted: (records: readonly TelemetryRecord[], receivedTs: number) => void;
  /** Tells a device what is stored. It may be lost: the device then repeats, and is told again. */
  readonly acknowledge: (device: string, ack: Ack) => void;
}

export interface IngestState {
  readonly windows: number;
  readonly events: number;
  readonly duplicates: number;
  readonly pending: number;
  /** Why nothing can be committed now. */
  readonly stalled: string | undefined;
}

export interface Ingest extends AsyncDisposable {
  start(): void;
  /** Takes a record for the next commit; drops and counts it when too many wait. */
  push(record: TelemetryRecord): void;
  state(): IngestState;
}

/**
 * From received records to the history: gathers them, commits them in one transaction, and only then
 * acknowledges them. A commit that fails keeps its records and is tried again; nothing else waits for it.
 * A record that can never be stored is dropped and counted: it would hold up all others for ever.
 */
export function createIngest(deps: IngestDeps): Ingest {
  const { clock, random, log, rejects } = deps;
  const stopping = new AbortController();
  const queue = createQueue<TelemetryRecord>(MAX_PENDING);
  const committer = createCommitter(deps, queue);
  let running: Promise<void> | undefined;

  const loop = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await queue.waitFor(1, signal);
      await Promise.race([queue.waitFor(BATCH_RECORDS, signal), clock.sleep(GATHER_MS, signal)]);
      // Commits block the thread: between two of them, whatever came in has its turn.
      await clock.sleep(0, signal);
      await committer.untilCommitted(signal);
    }
  };

  return {
    start: () => {
      const onFault = (error: unknown) => log.error({ err: error }, 'ingest failed and is started again');
      running = supervise(loop, stopping.signal, { clock, random, policy: RETRY, onFault });
    },
    push: (record) => {
      if (stopping.signal.aborted || !queue.push(record)) {
        rejects.count('overload', `${queue.size} records wait for their commit`);
      }
    },
    state: () => ({ ...committer.state(), pending: queue.size }),
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
      committer.commitRest();
    },
  };
}

interface Committer {
  /** Commits the oldest records; tries until it succeeds or `signal` aborts. */
  untilCommitted(signal: AbortSignal): Promise<void>;
  /** Commits everything that is left, once: what fails now, devices send again. */
  commitRest(): void;
  state(): Omit<IngestState, 'pending'>;
}

function createCommitter(deps: IngestDeps, queue: BoundedQueue<TelemetryRecord>): Committer {
  const { clock, log } = deps;
  let totals: CommitResult = { windows: 0, events: 0, duplicates: 0 };
  let stalled: string | undefined;

  /** Stores what can be stored, and returns it; one record that never can be does not hold up the others. */
  const store = (records: readonly TelemetryRecord[], receivedTs: number): readonly TelemetryRecord[] => {
    try {
      totals = add(totals, deps.commit(records, receivedTs));
      return records;
    } catch (error) {
      if (!isOfData(error)) throw error;
      if (records.length > 1) {
        const half = Math.ceil(records.length / 2);
        return [records.slice(0, half), records.slice(half)].flatMap((part) => store(part, receivedTs));
      }
      const [record] = records;
      deps.rejects.count('not-storable', `${record?.envelope.device}: ${describeError(error)}`);
      return [];
    }
  };

  const commit = (): void => {
    const batch = queue.first(BATCH_RECORDS);
    if (batch.length === 0) return;
    const receivedTs = clock.now();
    const stored = store(batch, receivedTs);
    queue.drop(batch.length);
    deps.onCommitted(stored, receivedTs);
    for (const { device, ack } of acksOf(stored.map(({ envelope }) => envelope)))
      deps.acknowledge(device, ack);
  };

  const stall = (error: unknown): void => {
    const reason = isFull(error) ? `the disk is full (${describeError(error)})` : describeError(error);
    if (stalled !== reason) log.error({ err: error }, 'records cannot be committed; trying again');
    stalled = reason;
  };

  const untilCommitted = async (signal: AbortSignal): Promise<void> => {
    for (let attempt = 0; ; attempt += 1) {
      try {
        commit();
        if (stalled !== undefined) log.info('records are committed again');
        stalled = undefined;
        return;
      } catch (error) {
        stall(error);
      }
      await clock.sleep(backoffMs(attempt, RETRY, deps.random), signal);
    }
  };

  return {
    untilCommitted,
    commitRest: () => {
      try {
        while (queue.size > 0) commit();
      } catch (error) {
        log.warn(
          { err: error, records: queue.size },
          'the last records were not stored; devices send them again',
        );
      }
    },
    state: () => ({ ...totals, stalled }),
  };
}

function add(a: CommitResult, b: CommitResult): CommitResult {
  return {
    windows: a.windows + b.windows,
    events: a.events + b.events,
    duplicates: a.duplicates + b.duplicates,
  };
}
