import { type BackoffPolicy, backoffMs, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { createWakeable } from '../../shared/wake.ts';
import type { AlertNotification } from '../api/alert-schemas.ts';
import type { AlertStore } from '../store/alert-store.ts';
import type { Delivery, Webhook } from './webhook.ts';

const RETRY: BackoffPolicy = { firstMs: 1_000, capMs: 300_000 };
/** Of one request. */
const BATCH = 100;
/** That wait, here and in the store. */
const MAX_WAITING = 10_000;
const IDLE_MS = 3_600_000;

export interface NotifierDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly webhook: Webhook;
  readonly store: Pick<AlertStore, 'undelivered' | 'forget'>;
}

export interface NotifierState {
  readonly waiting: number;
  readonly delivered: number;
  /** Requests that failed; what was in them is tried again. */
  readonly failures: number;
  /** Notifications that were given up: refused by the webhook, or too many. */
  readonly dropped: number;
}

export interface Notifier extends AsyncDisposable {
  start(): void;
  push(notifications: readonly AlertNotification[]): void;
  state(): NotifierState;
}

/**
 * Tells a webhook, at least once and in order, until it has taken what there is. What was stored and not
 * delivered before a restart comes first.
 */
export function createNotifier(deps: NotifierDeps): Notifier {
  const { clock, random, log } = deps;
  const stopping = new AbortController();
  const wakeable = createWakeable(clock);
  const queue = createQueue(deps);
  let running: Promise<void> | undefined;

  const loop = async (signal: AbortSignal): Promise<void> => {
    for (let attempt = 0; !signal.aborted; ) {
      if (queue.isEmpty()) {
        await wakeable.sleep(IDLE_MS, signal);
        continue;
      }
      const outcome = await queue.deliverOne(signal);
      if (outcome.kind !== 'later') {
        attempt = 0;
        continue;
      }
      if (attempt === 0) log.warn({ reason: outcome.reason }, 'the webhook was not told; trying again');
      const delayMs = Math.max(outcome.afterMs ?? 0, backoffMs(attempt, RETRY, random));
      await clock.sleep(delayMs, signal);
      attempt += 1;
    }
  };

  return {
    start: () => {
      queue.push(deps.store.undelivered());
      const onFault = (error: unknown) => log.error({ err: error }, 'notifying failed and is started again');
      running = supervise(loop, stopping.signal, { clock, random, policy: RETRY, onFault });
    },
    push: (notifications) => {
      queue.push(notifications);
      wakeable.wake();
    },
    state: queue.state,
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}

interface Queue {
  push(notifications: readonly AlertNotification[]): void;
  isEmpty(): boolean;
  /** Tries to deliver the oldest, some of them in one request. */
  deliverOne(signal: AbortSignal): Promise<Delivery>;
  state(): NotifierState;
}

function createQueue({ webhook, store, log }: NotifierDeps): Queue {
  const waiting = new Map<string, AlertNotification>();
  let batchSize = BATCH;
  /** What may have arrived although it failed: it is repeated as it was, so that its key is the same. */
  let repeated: readonly AlertNotification[] | undefined;
  let delivered = 0;
  let failures = 0;
  let dropped = 0;

  const forget = (batch: readonly AlertNotification[]): void => {
    const names = batch.map(({ notification }) => notification);
    for (const name of names) waiting.delete(name);
    try {
      store.forget(names);
    } catch (error) {
      // After a restart the webhook is told of them once more.
      log.warn({ reason: describeError(error) }, 'delivered notifications stay stored');
    }
  };
  const settle = (batch: readonly AlertNotification[], outcome: Delivery): void => {
    if (outcome.kind === 'delivered') {
      delivered += batch.length;
      batchSize = BATCH;
      forget(batch);
      return;
    }
    failures += 1;
    if (outcome.kind === 'later') return;
    // One of many may be the reason: they are tried in smaller parts.
    batchSize = Math.ceil(batch.length / 2);
    if (batch.length > 1) return;
    dropped += 1;
    log.error(
      { reason: outcome.reason, alert: batch[0]?.notification },
      'the webhook refuses an alert; given up',
    );
    batchSize = BATCH;
    forget(batch);
  };
  return {
    push: (notifications) => {
      for (const each of notifications) waiting.set(each.notification, each);
      const excess = [...waiting.values()].slice(0, Math.max(0, waiting.size - MAX_WAITING));
      if (excess.length === 0) return;
      dropped += excess.length;
      log.error(
        { notifications: excess.length },
        'too many alerts wait for the webhook; the oldest are given up',
      );
      forget(excess);
    },
    isEmpty: () => waiting.size === 0,
    deliverOne: async (signal) => {
      const batch = repeated ?? [...waiting.values()].slice(0, batchSize);
      const outcome = await webhook.post(batch, signal);
      repeated = outcome.kind === 'later' ? batch : undefined;
      settle(batch, outcome);
      return outcome;
    },
    state: () => ({ waiting: waiting.size, delivered, failures, dropped }),
  };
}
