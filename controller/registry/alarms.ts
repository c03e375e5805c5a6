import { type BackoffPolicy, backoffMs, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Alarm } from '../history/write/packet.ts';

/** Alarms that wait to be stored, at most; beyond it the oldest are given up, which the log says. */
const MAX_WAITING = 1_000;
const RETRY: BackoffPolicy = { firstMs: 500, capMs: 30_000 };

export interface AlarmsDeps {
  /** Stores an alarm as an event. */
  readonly raise: (alarm: Alarm) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** What the controller itself finds wrong, on its way into the history. */
export interface Alarms extends AsyncDisposable {
  start(): void;
  /** Takes an alarm; it never waits and never throws. */
  raise(alarm: Alarm): void;
}

/** Stores alarms one after the other; one that cannot be stored is tried again until it is. */
export function createAlarms(deps: AlarmsDeps): Alarms {
  const { clock, random, log } = deps;
  const waiting: Alarm[] = [];
  const stopping = new AbortController();
  let wake = Promise.withResolvers<void>();
  let running: Promise<void> | undefined;

  const storeFirst = async (signal: AbortSignal): Promise<void> => {
    const [alarm] = waiting;
    if (alarm === undefined) return;
    for (let attempt = 0; ; attempt += 1) {
      try {
        await deps.raise(alarm);
        break;
      } catch (error) {
        log.error({ err: error, alarm }, 'an alarm cannot be stored');
        await clock.sleep(backoffMs(attempt, RETRY, random), signal);
      }
      // It was given up meanwhile.
      if (waiting[0] !== alarm) return;
    }
    if (waiting[0] === alarm) waiting.shift();
  };
  const loop = async (signal: AbortSignal): Promise<void> => {
    signal.addEventListener('abort', () => wake.resolve(), { once: true });
    while (!signal.aborted) {
      if (waiting.length === 0) await wake.promise;
      wake = Promise.withResolvers();
      await storeFirst(signal);
    }
  };

  return {
    start: () => {
      const onFault = (error: unknown) => log.error({ err: error }, 'alarms failed and are started again');
      running = supervise(loop, stopping.signal, { clock, random, policy: RETRY, onFault });
    },
    raise: (alarm) => {
      waiting.push(alarm);
      if (waiting.length > MAX_WAITING) log.error({ alarm: waiting.shift() }, 'an alarm was given up');
      wake.resolve();
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
      for (const alarm of waiting.splice(0)) {
        await deps.raise(alarm).catch((error: unknown) => log.error({ err: error, alarm }, 'not stored'));
      }
    },
  };
}
