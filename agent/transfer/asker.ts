import { type BackoffPolicy, backoffMs, type Random } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { ChunkRange } from '../../shared/protocol/release.ts';
import { createWakeable } from '../../shared/wake.ts';
import { type LinkState, type TransferLink, unlessAborted } from './link-state.ts';

/** After so long without a chunk that was missing it is asked again; longer than a server's cooldown. */
const SILENCE_MS = 5_000;
/** The same where chunks came that could not be kept: they are known to be lost. */
const LOST_SILENCE_MS = 1_500;
/** On top of it; with the silence a minute at most. */
const PATIENCE: BackoffPolicy = { firstMs: 1_000, capMs: 55_000 };
/** Messages under way at once: a release may have hundreds of blobs. */
const IN_FLIGHT = 8;
/** A blob of which chunks are missing. */
export interface Wanted {
  readonly sha256: string;
  /** The runs to ask for now. */
  readonly missing: readonly ChunkRange[];
}

export interface AskerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly links: LinkState;
  /** What is missing at this moment. */
  readonly wanted: () => readonly Wanted[];
}

/** Asks for what is missing: at once on every new link, and again after a silence, ever more patiently. */
export interface Asker {
  run(signal: AbortSignal): Promise<void>;
  /** A chunk that was missing has come: it is silent on. */
  heard(): void;
  /** A chunk had to be dropped: it comes only if it is asked for again. */
  lost(): void;
  /** Asks now. */
  askNow(): void;
  linkChanged(): void;
}

/** Makes an asker; it asks while it runs. */
export function createAsker(deps: AskerDeps): Asker {
  const { clock, random, links } = deps;
  const wakeable = createWakeable(clock);
  let attempt = 0;
  let dueMs = 0;
  /** The link on which the topics are followed. */
  let followed: TransferLink | undefined;
  let seen: TransferLink | undefined;
  /** Since it was asked last. */
  let hasLost = false;
  let isUrgent = false;

  const wait = (): void => {
    const silenceMs = hasLost ? LOST_SILENCE_MS : SILENCE_MS;
    dueMs = clock.monoMs() + silenceMs + backoffMs(attempt, PATIENCE, random);
  };
  const askOn = async (link: TransferLink, signal: AbortSignal): Promise<void> => {
    [hasLost, isUrgent] = [false, false];
    wait();
    attempt += 1;
    try {
      const wanted = deps.wanted();
      if (followed !== link) {
        const names = wanted.map(({ sha256 }) => sha256);
        await unlessAborted(link.channel.follow(names), link.ended, signal);
        followed = link;
      }
      await sendWants(link, wanted, signal);
      // Answers are counted on from here: sending all of it may have taken long.
      dueMs = Math.max(dueMs, clock.monoMs() + SILENCE_MS);
    } catch (error) {
      signal.throwIfAborted();
      deps.log.debug(`asking for chunks: ${describeError(error)}`);
    }
  };
  const step = async (signal: AbortSignal): Promise<void> => {
    const link = links.current;
    if (link === undefined) return wakeable.sleep(undefined, signal);
    if (link !== seen) {
      seen = link;
      attempt = 0;
      isUrgent = true;
    }
    const restMs = isUrgent ? 0 : dueMs - clock.monoMs();
    if (restMs > 0) return wakeable.sleep(restMs, signal);
    await askOn(link, signal);
  };
  return {
    run: async (signal) => {
      while (!signal.aborted) await step(signal);
    },
    heard: () => {
      attempt = 0;
      wait();
    },
    lost: () => {
      if (hasLost) return;
      hasLost = true;
      wait();
      wakeable.wake();
    },
    askNow: () => {
      isUrgent = true;
      wakeable.wake();
    },
    linkChanged: () => wakeable.wake(),
  };
}

/** @throws whatever the channel rejects with, or why the link or the work ended */
async function sendWants(link: TransferLink, wanted: readonly Wanted[], signal: AbortSignal): Promise<void> {
  const line = wanted.values();
  const worker = async (): Promise<void> => {
    for (const { sha256, missing } of line) {
      if (missing.length === 0) continue;
      const chunks = [...missing];
      await unlessAborted(link.channel.want({ v: 1, sha256, chunks }), link.ended, signal);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}
