import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { Ack } from '../../shared/protocol/event.ts';
import type { Outbox, StoredRecord } from './outbox.ts';

/** Sends records; resolves when the broker has them (which does not mean that they are stored). */
export interface RecordSender {
  windows(records: readonly StoredRecord[]): Promise<void>;
  event(record: StoredRecord): Promise<void>;
}

export interface PublisherDeps {
  readonly outbox: Outbox;
  readonly clock: Clock;
  /** Records under way without an acknowledgement, at most. */
  readonly maxUnderWay: number;
  /** Pause between two batches of the backlog, so that a fleet that comes back does not flood the broker. */
  readonly backlogPauseMs: number;
  /** After this long without any acknowledgement everything that is under way is sent again. */
  readonly ackTimeoutMs: number;
}

/** Bytes of bodies in one message, well below the protocol's limit. */
const MAX_BATCH_BYTES = 64 * 1024;
const MAX_BATCH_RECORDS = 100;
const MAX_ACK_TIMEOUT_FACTOR = 16;

/**
 * Drains the outbox while there is a link and a controller: what is new goes before the backlog, the
 * backlog is paced, and what is not acknowledged in time is sent again, ever more patiently. Repeats are
 * harmless: the history knows a record by (device, boot, sequence number).
 */
export interface Publisher {
  /** Runs until the signal aborts or sending fails; everything begins anew at the next run. */
  drain(sender: RecordSender, signal: AbortSignal): Promise<void>;
  /** Takes the controller's acknowledgement in. */
  acknowledged(ack: Ack): void;
  /** Says that there is something new to send. */
  wake(): void;
}

interface Drain {
  liveCursor: number;
  backlogCursor: number;
  /** Records up to here were waiting when the drain began. */
  readonly backlogEnd: number;
  readonly underWay: Set<string>;
  waitedSinceMs: number;
  patience: number;
}

const keyOf = (bootId: string, seq: number): string => `${bootId}/${seq}`;

/** Cuts a batch so that it stays one message. */
function fitBatch(records: readonly StoredRecord[]): readonly StoredRecord[] {
  let bytes = 0;
  const end = records.findIndex((record) => {
    bytes += record.body.length;
    return bytes > MAX_BATCH_BYTES;
  });
  return end === -1 ? records : records.slice(0, Math.max(1, end));
}

/** Makes a publisher; nothing is sent before `drain`. */
export function createPublisher(deps: PublisherDeps): Publisher {
  const { outbox, clock } = deps;
  let current: Drain | undefined;
  let wakeUp = Promise.withResolvers<void>();
  const wake = (): void => {
    wakeUp.resolve();
    wakeUp = Promise.withResolvers<void>();
  };

  const nextBatch = (drain: Drain): { records: readonly StoredRecord[]; live: boolean } => {
    const room = Math.min(MAX_BATCH_RECORDS, deps.maxUnderWay - drain.underWay.size);
    if (room <= 0) return { records: [], live: true };
    const live = outbox.after(drain.liveCursor, room);
    if (live.length > 0) return { records: fitBatch(live), live: true };
    const backlog = outbox.after(drain.backlogCursor, room).filter(({ id }) => id <= drain.backlogEnd);
    return { records: fitBatch(backlog), live: false };
  };

  const send = async (
    drain: Drain,
    sender: RecordSender,
    records: readonly StoredRecord[],
  ): Promise<void> => {
    if (drain.underWay.size === 0) drain.waitedSinceMs = clock.monoMs();
    for (const { bootId, seq } of records) drain.underWay.add(keyOf(bootId, seq));
    const windows = records.filter(({ kind }) => kind === 'window');
    const events = records.filter(({ kind }) => kind === 'event');
    await Promise.all([
      ...(windows.length > 0 ? [sender.windows(windows)] : []),
      ...events.map((record) => sender.event(record)),
    ]);
  };

  const resendIfOverdue = (drain: Drain): void => {
    const limitMs = deps.ackTimeoutMs * drain.patience;
    if (drain.underWay.size === 0 || clock.monoMs() - drain.waitedSinceMs < limitMs) return;
    drain.underWay.clear();
    drain.liveCursor = drain.backlogEnd;
    drain.backlogCursor = 0;
    drain.patience = Math.min(MAX_ACK_TIMEOUT_FACTOR, drain.patience * 2);
  };

  const step = async (drain: Drain, sender: RecordSender, signal: AbortSignal): Promise<void> => {
    const woken = wakeUp.promise;
    resendIfOverdue(drain);
    const { records, live } = nextBatch(drain);
    const last = records.at(-1);
    if (last === undefined) {
      await Promise.race([woken, clock.sleep(deps.ackTimeoutMs, signal)]);
      return;
    }
    if (live) drain.liveCursor = last.id;
    else drain.backlogCursor = last.id;
    await send(drain, sender, records);
    if (!live) await clock.sleep(deps.backlogPauseMs, signal);
  };

  return {
    wake,
    acknowledged: (ack) => {
      outbox.acknowledge(ack.bootId, ack.ranges);
      if (current === undefined) return;
      for (const [from, to] of ack.ranges) {
        for (const key of current.underWay) {
          const seq = Number(key.slice(ack.bootId.length + 1));
          if (key.startsWith(`${ack.bootId}/`) && seq >= from && seq <= to) current.underWay.delete(key);
        }
      }
      current.waitedSinceMs = clock.monoMs();
      current.patience = 1;
      wake();
    },
    drain: async (sender, signal) => {
      if (current !== undefined) throw new AppError('conflict', 'the outbox is being drained already');
      const backlogEnd = outbox.newestId();
      current = {
        liveCursor: backlogEnd,
        backlogCursor: 0,
        backlogEnd,
        underWay: new Set(),
        waitedSinceMs: clock.monoMs(),
        patience: 1,
      };
      try {
        while (!signal.aborted) await step(current, sender, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        current = undefined;
      }
    },
  };
}
