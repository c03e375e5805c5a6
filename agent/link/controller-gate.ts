import type { ControllerStatus } from '../../shared/protocol/status.ts';

/**
 * Whether there is a controller that takes telemetry in. What is published while it is away would be lost
 * with the broker's agreement, so the outbox is drained only while it says that it is online.
 */
export interface ControllerGate {
  readonly isOnline: boolean;
  /** Takes the controller's retained status in. */
  heard(status: ControllerStatus): void;
  /** Forgets what was heard: the link is gone. */
  reset(): void;
  /** Resolves when a controller is online, with a signal that aborts when that session ends; undefined when `signal` aborts first. */
  online(signal: AbortSignal): Promise<AbortSignal | undefined>;
}

/** Makes a gate that is closed until a controller is heard of. */
export function createControllerGate(): ControllerGate {
  let session: { readonly id: string; readonly end: AbortController } | undefined;
  let changed = Promise.withResolvers<void>();
  const change = (next: typeof session): void => {
    session?.end.abort();
    session = next;
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  return {
    get isOnline() {
      return session !== undefined;
    },
    heard: ({ state, session: id }) => {
      if (state === 'online' && session?.id !== id) change({ id, end: new AbortController() });
      // The will of an older session may come late: it does not end the newer one.
      if (state === 'offline' && session?.id === id) change(undefined);
    },
    reset: () => change(undefined),
    online: async (signal) => {
      const stopped = new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      while (!signal.aborted && session === undefined) await Promise.race([changed.promise, stopped]);
      return signal.aborted ? undefined : session?.end.signal;
    },
  };
}
