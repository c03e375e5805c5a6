import { AppError } from '../../shared/errors.ts';
import type { BlobRef } from '../blobs/blob-store.ts';
import { createFetching, type Fetching, type FetchingDeps, type FetchOptions } from './fetching.ts';
import { type ChunkChannel, createLinkState } from './link-state.ts';

export type { ChunkChannel } from './link-state.ts';

/** What came since the start. */
export interface FetchCounts {
  readonly stored: number;
  /** Came faster than the disk takes them; they are asked for again. */
  readonly dropped: number;
  readonly wrong: number;
  /** Of blobs that nobody here wants. */
  readonly unasked: number;
}

/** Brings blobs into the store. */
export interface Fetcher {
  /**
   * All of them are in the store when this resolves; one fetch at a time. However it ends, what has come stays.
   * @throws AppError `conflict` when a fetch is under way, `invalid` when the content stays wrong, `system` when
   * the disk fails or is full, `timeout` when nothing came for `noProgressMs` while the link was up; the
   * signal's reason
   */
  fetch(refs: readonly BlobRef[], options: FetchOptions): Promise<void>;
  /**
   * A chunk came. It never throws and never waits; its memory is bounded: what comes too fast is dropped and
   * asked for again. @param bytes are kept until they are stored
   */
  receive(sha256: string, n: number, bytes: Uint8Array): void;
  linkUp(channel: ChunkChannel): void;
  linkDown(): void;
  readonly counts: FetchCounts;
}

export type FetcherDeps = Omit<FetchingDeps, 'links' | 'counts'>;

/** Makes a fetcher whose link is down. */
export function createFetcher(deps: FetcherDeps): Fetcher {
  const links = createLinkState();
  const counts = { stored: 0, dropped: 0, wrong: 0, unasked: 0 };
  let current: Fetching | undefined;
  return {
    counts,
    fetch: async (refs, options) => {
      if (current !== undefined) throw new AppError('conflict', 'a fetch of blobs is under way already');
      const fetching = createFetching({ ...deps, links, counts }, options);
      current = fetching;
      try {
        await fetching.run(refs);
      } finally {
        current = undefined;
      }
    },
    receive: (sha256, n, bytes) => {
      if (current === undefined) counts.unasked += 1;
      else current.receive({ sha256, n, bytes });
    },
    linkUp: (channel) => links.up(channel),
    linkDown: () => links.down(),
  };
}
