import { type BackoffPolicy, backoffMs, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Ack } from '../../shared/protocol/event.ts';
import type { CommitResult, Packet } from '../history/write/packet.ts';
import type { Rejects } from './rejects.ts';

/** Acknowledgements that are published before whatever else came in has its turn. */
const ACKS_AT_ONCE = 100;
const RETRY: BackoffPolicy = { firstMs: 200, capMs: 10_000 };

export interface CommitterDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly rejects: Rejects;
  /** Stores all that can be stored or, when it rejects, nothing. */
  readonly commit: (packets: readonly Packet[], receivedTs: number) => Promise<CommitResult>;
  /** Notes devices whose records are in the history now, new or not; tried again when it throws. */
  readonly onSeen: (devices: ReadonlySet<string>, receivedTs: number) => void;
  /** Tells a device what is stored. It may be lost: the device then repeats, and is told again. */
  readonly acknowledge: (device: string, ack: Ack) => void;
  /** Told of every commit, once. What it throws is logged. */
  readonly onCommitted?: (result: CommitResult) => void;
}

export interface CommitTotals {
  readonly windows: number;
  readonly events: number;
  readonly duplicates: number;
  /** Why nothing can be committed now. */
  readonly stalled: string | undefined;
}

/** Brings packets into the history and tells their devices; it may be asked several times at once. */
export interface Committer {
  /** Resolves when the packets are committed and acknowledged; tries until then, or rejects when `signal` aborts. */
  untilCommitted(packets: readonly Packet[], signal: AbortSignal): Promise<void>;
  /** As above with a single try. @throws what the commit throws */
  commitOnce(packets: readonly Packet[]): Promise<void>;
  totals(): CommitTotals;
}

type Attempt = <T>(work: () => Promise<T>) => Promise<T>;

export function createCommitter(deps: CommitterDeps): Committer {
  const { clock, log } = deps;
  let totals = { windows: 0, events: 0, duplicates: 0 };
  let stalled: string | undefined;

  const commit = async (packets: readonly Packet[], attempt: Attempt): Promise<void> => {
    const receivedTs = clock.now();
    const result = await attempt(() => deps.commit(packets, receivedTs));
    tellCommitted(deps, result);
    totals = add(totals, result);
    for (const { reason, detail, records } of result.rejects) deps.rejects.count(reason, detail, records);
    const devices = new Set(result.acks.map(({ device }) => device));
    await attempt(async () => deps.onSeen(devices, receivedTs));
    await acknowledge(deps, result);
  };

  /** Notes whether the last try failed, and why; the log is told when that changes. */
  const note = (error: unknown): void => {
    const reason = error === undefined ? undefined : describeError(error);
    if (reason === stalled) return;
    stalled = reason;
    if (reason === undefined) log.info('records are committed again');
    else log.error({ err: error }, 'records cannot be committed; trying again');
  };
  const persistently =
    (signal: AbortSignal): Attempt =>
    async (work) => {
      for (let tries = 0; ; tries += 1) {
        try {
          const done = await work();
          note(undefined);
          return done;
        } catch (error) {
          note(error);
        }
        await clock.sleep(backoffMs(tries, RETRY, deps.random), signal);
      }
    };

  return {
    untilCommitted: (packets, signal) => commit(packets, persistently(signal)),
    commitOnce: (packets) => commit(packets, (work) => work()),
    totals: () => ({ ...totals, stalled }),
  };
}

function tellCommitted({ onCommitted, log }: CommitterDeps, result: CommitResult): void {
  try {
    onCommitted?.(result);
  } catch (error) {
    log.error({ err: error }, 'what was committed could not be told');
  }
}

async function acknowledge({ acknowledge, clock }: CommitterDeps, { acks }: CommitResult): Promise<void> {
  for (const [index, { device, ack }] of acks.entries()) {
    if (index > 0 && index % ACKS_AT_ONCE === 0) await clock.sleep(0);
    acknowledge(device, ack);
  }
}

type Counts = Pick<CommitResult, 'windows' | 'events' | 'duplicates'>;

function add(a: Counts, b: Counts): Counts {
  return {
    windows: a.windows + b.windows,
    events: a.events + b.events,
    duplicates: a.duplicates + b.duplicates,
  };
}
