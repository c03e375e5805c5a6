import { type BackoffPolicy, type Loop, type Random, supervise } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import { describeError } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';

export interface BackgroundDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stack: AsyncDisposableStack;
}

const BACKOFF: BackoffPolicy = { firstMs: 100, capMs: 10_000 };

/** Runs loops until the stack is disposed of; one that fails is told, counted and started again. */
export function createBackground({
  clock,
  random,
  log,
  stack,
}: BackgroundDeps): (name: string, loop: Loop) => void {
  return (name, loop) => {
    const stop = new AbortController();
    const onFault = (error: unknown, faults: number): void => {
      log.error({ faults }, `${name} failed and is started again: ${describeError(error)}`);
    };
    const running = supervise(loop, stop.signal, { clock, random, policy: BACKOFF, onFault });
    stack.defer(async () => {
      stop.abort();
      await running;
    });
  };
}
