import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BlobRef } from '../../../agent/blobs/blob-store.ts';
import { type ChunkChannel, createFetcher } from '../../../agent/transfer/fetcher.ts';
import { AppError } from '../../../shared/errors.ts';
import { CHUNK_BYTES, type Want } from '../../../shared/protocol/release.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';
import { memoryStore, settled, testBlob } from '../../support/transfer.ts';

const BLOB = testBlob(9 * CHUNK_BYTES + 3);
const SMALL = testBlob(100);

interface Options {
  readonly noProgressMs?: number;
  readonly signal?: AbortSignal;
}

function fetching() {
  const clock = manualClock();
  const store = memoryStore();
  const fetcher = createFetcher({ store, clock, random: () => 0.5, log: silentLog });
  const wants: (Want & { readonly atMs: number })[] = [];
  const calls: string[] = [];
  const channel: ChunkChannel = {
    follow: async (names) => void calls.push(`follow ${names.length}`),
    unfollow: async (names) => void calls.push(`unfollow ${names.length}`),
    want: async (want) => {
      calls.push('want');
      wants.push({ ...want, atMs: clock.monoMs() });
    },
  };
  const progress: number[] = [];
  const fetch = (refs: readonly BlobRef[], { noProgressMs = 600_000, signal }: Options = {}) => {
    const done = fetcher.fetch(refs, {
      noProgressMs,
      signal: signal ?? new AbortController().signal,
      onProgress: ({ bytes }) => void progress.push(bytes),
    });
    // Awaited later, by who wants to know.
    done.catch(() => undefined);
    return done;
  };
  const bring = (blob: typeof BLOB, ...numbers: readonly number[]): void => {
    for (const n of numbers) fetcher.receive(blob.ref.sha256, n, blob.chunk(n) ?? new Uint8Array());
  };
  const passing = async (ms: number): Promise<void> => {
    await settled(5);
    await clock.advance(ms);
    await settled(5);
  };
  return { clock, store, fetcher, channel, wants, calls, progress, fetch, bring, passing };
}

const ALL = [...BLOB.ref.chunks.keys()];

test('it follows, then asks, and unfollows what is whole', async () => {
  const { fetcher, channel, fetch, bring, calls, wants, store, progress } = fetching();
  fetcher.linkUp(channel);
  const done = fetch([BLOB.ref, SMALL.ref]);
  await settled();
  expect(calls).toEqual(['follow 2', 'want', 'want']);
  expect(wants[0]?.chunks).toEqual([[0, 9]]);
  bring(BLOB, ...ALL);
  bring(SMALL, 0);
  await done;
  expect([...store.blobs].sort()).toEqual([BLOB.ref.sha256, SMALL.ref.sha256].sort());
  expect(calls.slice(3)).toEqual(['unfollow 1', 'unfollow 1']);
  expect(progress.at(0)).toBe(0);
  expect(progress.at(-1)).toBe(BLOB.ref.bytes + 100);
  expect(fetcher.counts).toEqual({ stored: 11, dropped: 0, wrong: 0, unasked: 0 });
});

test('what is there is not asked for', async () => {
  const { fetcher, channel, fetch, calls, store } = fetching();
  fetcher.linkUp(channel);
  await store.adopt('', BLOB.ref.sha256);
  await fetch([BLOB.ref]);
  expect(calls).toEqual([]);
});

test('it is silent while chunks come, and asks for the rest after a silence, ever more patiently', async () => {
  const { fetcher, channel, fetch, bring, wants, passing } = fetching();
  fetcher.linkUp(channel);
  void fetch([BLOB.ref]);
  for (let n = 0; n < 8; n += 1) {
    await passing(4_000);
    bring(BLOB, n);
  }
  expect(wants).toHaveLength(1);
  await passing(300_000);
  const [, second] = wants;
  expect(second?.chunks).toEqual([[8, 9]]);
  expect(second?.atMs).toBe(32_000 + 5_500);
  const pauses = wants.slice(2).map(({ atMs }, index) => atMs - (wants[index + 1]?.atMs ?? 0));
  expect(pauses.slice(0, 3)).toEqual([5_500, 6_000, 7_000]);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(60_000);
  expect(Math.max(...pauses)).toBeGreaterThan(30_000);
});

test('a link that comes back is asked at once, for what is missing then', async () => {
  const { fetcher, channel, fetch, bring, wants, calls, passing, store } = fetching();
  const done = fetch([BLOB.ref]);
  await passing(1_000);
  expect(calls).toEqual([]);
  fetcher.linkUp(channel);
  await passing(100);
  bring(BLOB, 0, 1, 2, 3);
  fetcher.linkDown();
  await passing(1_000_000);
  expect(wants).toHaveLength(1);
  fetcher.linkUp(channel);
  await passing(0);
  expect(calls).toEqual(['follow 1', 'want', 'follow 1', 'want']);
  expect(wants[1]?.chunks).toEqual([[4, 9]]);
  bring(BLOB, 4, 5, 6, 7, 8, 9);
  await done;
  expect(store.blobs.size).toBe(1);
});

test('a channel that never answers holds nothing up once its link is gone', async () => {
  const { fetcher, channel, fetch, bring, passing } = fetching();
  const never = (): Promise<void> => new Promise(() => undefined);
  fetcher.linkUp({ ...channel, follow: never });
  const done = fetch([BLOB.ref]);
  await passing(1_000);
  fetcher.linkUp({ ...channel, want: never });
  await passing(1_000);
  fetcher.linkUp(channel);
  await passing(0);
  bring(BLOB, ...ALL);
  await done;
});

test('a channel that refuses is asked again later', async () => {
  const { fetcher, channel, fetch, wants, passing } = fetching();
  let refusals = 2;
  const follow: ChunkChannel['follow'] = async () => {
    refusals -= 1;
    if (refusals >= 0) throw new AppError('unreachable', 'refused');
  };
  fetcher.linkUp({ ...channel, follow });
  void fetch([BLOB.ref]);
  await passing(60_000);
  expect(wants[0]?.atMs).toBe(5_500 + 6_000);
});

test('only time on a link that is up counts as time without progress', async () => {
  const { fetcher, channel, fetch, bring, passing } = fetching();
  fetcher.linkUp(channel);
  const done = fetch([BLOB.ref], { noProgressMs: 10_000 });
  await passing(9_000);
  fetcher.linkDown();
  await passing(3_600_000);
  fetcher.linkUp(channel);
  await passing(900);
  bring(BLOB, 0);
  await passing(9_900);
  bring(BLOB, 1);
  const over = expect(done).rejects.toMatchObject({ code: 'timeout' });
  await passing(10_100);
  await over;
  expect(fetcher.counts.stored).toBe(2);
});

test('it ends with the reason of its signal, and another can begin', async () => {
  const { fetcher, channel, fetch, bring, calls, passing } = fetching();
  fetcher.linkUp(channel);
  const stop = new AbortController();
  const first = fetch([BLOB.ref], { signal: stop.signal });
  await passing(100);
  await expect(fetch([SMALL.ref])).rejects.toMatchObject({ code: 'conflict' });
  const reason = new AppError('conflict', 'a newer order');
  stop.abort(reason);
  await expect(first).rejects.toBe(reason);
  expect(calls.at(-1)).toBe('unfollow 1');
  bring(BLOB, 0);
  expect(fetcher.counts.unasked).toBe(1);
  const second = fetch([SMALL.ref]);
  await settled();
  bring(SMALL, 0);
  await second;
});

test('what comes faster than it can be stored is dropped, and soon asked for again', async () => {
  const { fetcher, channel, fetch, bring, wants, passing } = fetching();
  const large = testBlob(300 * CHUNK_BYTES);
  fetcher.linkUp(channel);
  const done = fetch([large.ref]);
  await settled();
  bring(large, ...large.ref.chunks.keys());
  expect(fetcher.counts.dropped).toBe(300 - 128);
  await passing(2_100);
  expect(wants[1]?.chunks).toEqual([[128, 299]]);
  bring(large, ...Array.from({ length: 120 }, (_, n) => n + 128));
  await settled();
  bring(large, ...Array.from({ length: 52 }, (_, n) => n + 248));
  await done;
});

test('a blob with more holes than a message takes is asked for in turns', async () => {
  const { fetcher, channel, fetch, bring, wants, passing } = fetching();
  const ref = { ...testBlob(1).ref, bytes: 1_200 * CHUNK_BYTES };
  const chunk = BLOB.chunk(0) ?? new Uint8Array();
  const chunks = Array.from({ length: 1_200 }, () => BLOB.ref.chunks[0] ?? '');
  const blob = { ...BLOB, ref: { ...ref, chunks }, chunk: () => chunk };
  fetcher.linkUp(channel);
  void fetch([blob.ref]);
  await settled();
  for (let n = 0; n < 1_200; n += 100) {
    bring(blob, ...Array.from({ length: 50 }, (_, at) => n + 2 * at));
    await settled(3);
  }
  await passing(5_500);
  expect(wants[1]?.chunks).toHaveLength(256);
  for (let n = 1; n < 512; n += 100) {
    bring(blob, ...Array.from({ length: 50 }, (_, at) => n + 2 * at).filter((at) => at < 512));
    await settled(3);
  }
  await settled();
  expect(wants[2]?.chunks.at(0)).toEqual([513, 513]);
});

describe('what is wrong', () => {
  test('wrong and unasked chunks are counted, and harm nothing', async () => {
    const { fetcher, channel, fetch, bring } = fetching();
    fetcher.linkUp(channel);
    bring(SMALL, 0);
    const done = fetch([BLOB.ref]);
    await settled();
    bring(SMALL, 0);
    fetcher.receive(BLOB.ref.sha256, 0, new Uint8Array(CHUNK_BYTES));
    fetcher.receive(BLOB.ref.sha256, 0, new Uint8Array(10 * CHUNK_BYTES));
    fetcher.receive(BLOB.ref.sha256, Number.NaN, BLOB.chunk(0) ?? new Uint8Array());
    bring(BLOB, ...ALL, ...ALL);
    await done;
    expect(fetcher.counts).toEqual({ stored: 10, dropped: 0, wrong: 3, unasked: 2 });
  });

  test('a whole that stays wrong is given up at the third time', async () => {
    const { fetcher, channel, fetch, wants } = fetching();
    fetcher.linkUp(channel);
    const done = fetch([{ sha256: SMALL.ref.sha256, bytes: 100 }]);
    for (let time = 1; time <= 3; time += 1) {
      await settled();
      expect(wants).toHaveLength(time);
      fetcher.receive(SMALL.ref.sha256, 0, new Uint8Array(100));
    }
    await expect(done).rejects.toMatchObject({ code: 'invalid' });
  });

  test('a whole that was wrong once is fetched again', async () => {
    const { fetcher, channel, fetch, bring, store } = fetching();
    fetcher.linkUp(channel);
    const done = fetch([{ sha256: SMALL.ref.sha256, bytes: 100 }]);
    await settled();
    fetcher.receive(SMALL.ref.sha256, 0, new Uint8Array(100));
    await settled();
    bring(SMALL, 0);
    await done;
    expect(store.blobs.size).toBe(1);
  });

  test('a disk that fails ends it', async () => {
    const { clock, store } = fetching();
    const open = async (ref: BlobRef) => {
      const part = await store.open(ref);
      const write = async (): Promise<never> => {
        throw new AppError('system', 'no space left on the disk');
      };
      return Object.assign(Object.create(part), { write });
    };
    const deps = { store: { ...store, open }, clock, random: () => 0.5, log: silentLog };
    const fetcher = createFetcher(deps);
    const signal = new AbortController().signal;
    const done = fetcher.fetch([BLOB.ref], { signal, noProgressMs: 10_000, onProgress: () => undefined });
    await settled();
    fetcher.receive(BLOB.ref.sha256, 0, BLOB.chunk(0) ?? new Uint8Array());
    await expect(done).rejects.toMatchObject({ code: 'system' });
  });

  test('whatever comes, in whatever order, it ends with what was asked for', async () => {
    const names = fc.constantFrom(BLOB.ref.sha256, SMALL.ref.sha256, 'f'.repeat(64), '../x', '');
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat({ max: 9 }).map((n) => BLOB.chunk(n) ?? new Uint8Array()),
      fc.constant(new Uint8Array(CHUNK_BYTES + 1)),
    );
    const n = fc.oneof(fc.integer({ min: -2, max: 12 }), fc.double(), fc.maxSafeInteger());
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('chunk'), names, n, bytes }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('up', 'down', 'wait') }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { fetcher, channel, fetch, bring, store, passing } = fetching();
        const small = { sha256: SMALL.ref.sha256, bytes: SMALL.ref.bytes, chunks: SMALL.ref.chunks };
        const done = fetch([BLOB.ref, small]);
        const deeds = {
          up: async () => fetcher.linkUp(channel),
          down: async () => fetcher.linkDown(),
          wait: () => passing(1_000),
        };
        for (const one of steps) {
          if ('bytes' in one) fetcher.receive(one.names, one.n, one.bytes);
          else await deeds[one.kind]();
        }
        await settled();
        bring(BLOB, ...ALL);
        bring(SMALL, 0);
        await done;
        expect(store.blobs.size).toBe(2);
      }),
      { numRuns: 50 },
    );
  });
});
