import type { Operation } from '../operation/operation.ts';
import type { Serving } from './load-family.ts';

/** A family that serves: what is loaded of it, and what chooses among its levels. */
export interface Service {
  readonly serving: Serving;
  readonly operation: Operation;
}

/** A service with all that is its own. */
export interface OwnedService extends Service, AsyncDisposable {
  /** Ends its work in the background; frames may still be answered. */
  settle(): Promise<void>;
}

/** Makes the operation of a family; its work in the background ends with the signal. */
export type Operate = (serving: Serving, signal: AbortSignal) => Operation;

/**
 * Puts a family into operation; starts nothing.
 * @param resources engine and frames of it: they are released with the service
 */
export function createService(
  serving: Serving,
  resources: AsyncDisposableStack,
  operate: Operate,
): OwnedService {
  const stop = new AbortController();
  const operation = operate(serving, stop.signal);
  const settle = async (): Promise<void> => {
    stop.abort();
    await operation.settled();
  };
  return {
    serving,
    operation,
    settle,
    [Symbol.asyncDispose]: async () => {
      await settle();
      await resources.disposeAsync();
    },
  };
}
