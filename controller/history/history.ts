import { AppError } from '../../shared/errors.ts';
import { makeStateFolder } from '../../shared/files.ts';
import { siblingModule } from '../../shared/package.ts';
import type { AsyncReads } from './read/core.ts';
import type { CheckpointResult } from './rollup/checkpoint.ts';
import type { GroupMembers } from './rollup/groups.ts';
import type { RetainResult, Retention } from './rollup/retention.ts';
import type { RollUpResult } from './rollup/roll-up.ts';
import {
  type CareApi,
  packPackets,
  type ReaderApi,
  type StoredCounts,
  type ThreadData,
  type WriterApi,
} from './thread/api.ts';
import { type Api, connectWorker, type WorkerLink } from './thread/rpc.ts';
import type { Alarm, CommitResult, Packet } from './write/packet.ts';

export type { Alarm, CommitResult, Packet } from './write/packet.ts';

export interface HistoryStats extends Omit<StoredCounts, 'lagSinceTs'> {
  /** How long ago the oldest window was that is not merged into the roll-ups yet, milliseconds. */
  readonly lagMs: number;
}

export interface IntegrityReport {
  readonly ok: boolean;
  /** One line for people each. */
  readonly problems: readonly string[];
}

export interface HistoryOptions {
  readonly stateDir: string;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Size of `history.db`, at most: beyond it commits fail as on a full disk. Not bounded when left out. */
  readonly maxBytes?: number | undefined;
  /** Called once when a thread of the history died: nothing works any more, the program must end. */
  readonly onFault: (error: Error) => void;
}

/** Telemetry history, in threads of its own: nothing here holds up the main thread. */
export interface History extends AsyncReads, AsyncDisposable {
  /**
   * Stores what the packets hold, in one transaction. Repeats change nothing.
   * @param receivedTs when they came, milliseconds since the epoch
   * @throws AppError `system` when nothing was stored, for example because the disk is full: try the same again
   */
  commit(packets: readonly Packet[], receivedTs: number): Promise<CommitResult>;
  /** Stores something that the controller itself found, as an event of kind `alarm`. */
  raise(alarm: Alarm): Promise<void>;
  /**
   * Merges the windows that came in since the last time into the roll-ups; commits go between its steps.
   * @param groups the devices that are in each group now
   */
  rollUp(groups: GroupMembers): Promise<RollUpResult>;
  /** Deletes what is older than it is to be kept; commits go between its steps. */
  retain(retention: Retention, nowTs: number): Promise<RetainResult>;
  /** Copies the write-ahead log into the database, so that it stays bounded. */
  checkpoint(): Promise<CheckpointResult>;
  /** Looks through all of the database: may take minutes, in a thread of its own. */
  integrity(): Promise<IntegrityReport>;
  /** Copies `history.db` to a new file as it is at one moment, while everything goes on. */
  backup(path: string): Promise<{ readonly windows: number; readonly bytes: number }>;
  stats(): Promise<HistoryStats>;
}

/**
 * Opens the history in a state folder, or makes it. `fleet.db` must be open already: it keeps a second
 * controller out, and takes over what versions before kept in `history.db`.
 * @throws AppError `config` when the database was written by a newer version, or the folder cannot be made
 */
export async function openHistory(options: HistoryOptions): Promise<History> {
  makeStateFolder(options.stateDir, 0o700);
  const threads = threadsOf(options);
  const starting = threads.start<WriterApi>('writer');
  // The writer makes the tables that the others read; loading their code need not wait for it.
  const following = threads.start<ReaderApi>('reader', starting);
  try {
    const [writer, reader] = await Promise.all([starting, following]);
    return historyOf({ writer, reader, threads, now: options.now });
  } catch (error) {
    await Promise.allSettled([starting, following].map(async (link) => (await link).close()));
    throw error;
  }
}

interface Threads {
  start<A extends Api<A>>(
    name: 'writer' | 'reader' | 'care',
    after?: Promise<unknown>,
  ): Promise<WorkerLink<A>>;
}

function threadsOf({ stateDir, maxBytes, onFault }: HistoryOptions): Threads {
  const data: ThreadData = { stateDir, maxBytes };
  let isTold = false;
  const tellOnce = (error: Error): void => {
    if (!isTold) onFault(error);
    isTold = true;
  };
  return {
    start: (name, after) =>
      connectWorker({
        url: siblingModule(import.meta.url, `thread/${name}-thread`),
        name: `history ${name}`,
        data,
        after,
        // One that cares for a single call fails with that call.
        onFault: name === 'care' ? () => undefined : tellOnce,
      }),
  };
}

interface Parts {
  readonly writer: WorkerLink<WriterApi>;
  readonly reader: WorkerLink<ReaderApi>;
  readonly threads: Threads;
  readonly now: () => number;
}

function historyOf({ writer, reader, threads, now }: Parts): History {
  const care = createCare(threads);
  return {
    commit: (packets, receivedTs) => {
      const packed = packPackets(packets);
      return writer.call('commit', { packets: packed, receivedTs }, [packed.bytes.buffer]);
    },
    raise: (alarm) => writer.call('raise', alarm),
    rollUp: (groups) => writer.call('rollUp', { groups }),
    retain: (retention, nowTs) => writer.call('retain', { retention, nowTs }),
    checkpoint: () => writer.call('checkpoint', undefined),
    query: (question) => reader.call('query', question),
    latest: (devices) => reader.call('latest', devices),
    events: (range) => reader.call('events', range),
    gaps: (range) => reader.call('gaps', range),
    tail: (range) => reader.call('tail', range),
    exportPage: (question) => reader.call('exportPage', question),
    integrity: async () => {
      const problems = await care.with((link) => link.call('problems', { isDeep: false }));
      return { ok: problems.length === 0, problems };
    },
    backup: (path) => care.with((link) => link.call('copy', { path })),
    stats: async () => {
      const { lagSinceTs, ...counts } = await reader.call('counts', undefined);
      return { ...counts, lagMs: lagSinceTs === undefined ? 0 : Math.max(0, now() - lagSinceTs) };
    },
    [Symbol.asyncDispose]: async () => {
      await care.end();
      await reader.close();
      await writer.close();
    },
  };
}

/** Checks and backups under way at once: each has a thread and memory for pages. */
const MAX_CARE = 2;

interface Care {
  /** @throws AppError `conflict` when too much of this is under way */
  with<T>(work: (link: WorkerLink<CareApi>) => Promise<T>): Promise<T>;
  /** Ends what is under way; it fails. */
  end(): Promise<void>;
}

/** A thread for each long call. */
function createCare(threads: Threads): Care {
  const links = new Set<Promise<WorkerLink<CareApi>>>();
  return {
    with: async (work) => {
      if (links.size >= MAX_CARE) {
        throw new AppError(
          'conflict',
          `${MAX_CARE} backups or checks of the history run already; wait for them`,
        );
      }
      const link = threads.start<CareApi>('care');
      links.add(link);
      try {
        return await work(await link);
      } finally {
        links.delete(link);
        await link.then((started) => started.close()).catch(() => undefined);
      }
    },
    end: async () => {
      await Promise.allSettled([...links].map(async (link) => (await link).terminate()));
    },
  };
}
