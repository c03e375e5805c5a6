import type { Want } from '../../shared/protocol/release.ts';

/** What a link carries of a transfer; each rejects when the link ends first. */
export interface ChunkChannel {
  /** Subscribes to the chunks of these blobs. */
  follow(sha256: readonly string[]): Promise<void>;
  unfollow(sha256: readonly string[]): Promise<void>;
  want(want: Want): Promise<void>;
}

/** A link from its beginning to its end. */
export interface TransferLink {
  readonly channel: ChunkChannel;
  /** Aborts when the link ends. */
  readonly ended: AbortSignal;
}

/** The link of the moment. */
export interface LinkState {
  readonly current: TransferLink | undefined;
  up(channel: ChunkChannel): void;
  down(): void;
  /** Called, until it is taken away, whenever a link has come or gone. @returns takes it away */
  watch(onChange: () => void): () => void;
}

/** Makes the state of a link that is down. */
export function createLinkState(): LinkState {
  let current: (TransferLink & { readonly end: AbortController }) | undefined;
  const watchers = new Set<() => void>();
  const change = (next: typeof current): void => {
    current?.end.abort(new Error('the link ended'));
    current = next;
    for (const watcher of watchers) watcher();
  };
  return {
    get current() {
      return current;
    },
    up: (channel) => {
      const end = new AbortController();
      change({ channel, ended: end.signal, end });
    },
    down: () => change(undefined),
    watch: (onChange) => {
      watchers.add(onChange);
      return () => void watchers.delete(onChange);
    },
  };
}

/** The outcome of `work`, or the reason of the first of the signals that aborts. */
export async function unlessAborted<T>(work: Promise<T>, ...signals: readonly AbortSignal[]): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const either = AbortSignal.any([...signals]);
  const onAbort = (): void => reject(either.reason);
  either.addEventListener('abort', onAbort, { once: true });
  if (either.aborted) onAbort();
  try {
    return await Promise.race([work, promise]);
  } finally {
    either.removeEventListener('abort', onAbort);
  }
}
