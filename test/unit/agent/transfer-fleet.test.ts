import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createFetcher } from '../../../agent/transfer/fetcher.ts';
import { createTransferServer } from '../../../controller/transfer/transfer-server.ts';
import { AppError } from '../../../shared/errors.ts';
import { CHUNK_BYTES } from '../../../shared/protocol/release.ts';
import { parseTopic } from '../../../shared/protocol/topics.ts';
import { type Random, seededRandom } from '../../../shared/random.ts';
import { manualClock } from '../../support/clock.ts';
import { silentLog } from '../../support/controller.ts';
import { memoryStore, settled, type TestBlob, testBlob } from '../../support/transfer.ts';

const BLOBS: readonly TestBlob[] = [testBlob(12 * CHUNK_BYTES + 1), testBlob(CHUNK_BYTES), testBlob(99)];
const FOREVER_MS = 86_400_000;

interface WorldOptions {
  readonly blobs?: readonly TestBlob[];
  readonly seed?: number;
  /** Of chunks on their way to one device, and of what devices ask. */
  readonly lossPercent?: number;
  readonly bytesPerS?: number;
  readonly expectsMore?: () => boolean;
}

/** A server and its devices on one line that loses some of what it carries, under a clock of the test. */
function worldOf({ blobs = BLOBS, seed = 1, lossPercent = 0, ...options }: WorldOptions) {
  const clock = manualClock();
  const random: Random = seededRandom(seed);
  const fraction = (): number => random.below(1_000) / 1_000;
  const isLost = (): boolean => random.below(100) < lossPercent;
  const content = new Map(blobs.map((blob) => [blob.ref.sha256, blob]));
  const published = new Map<string, number>();
  const devices = new Set<ReturnType<typeof join>>();
  let isBrokerUp = true;

  const publish = async (topic: string, bytes: Uint8Array): Promise<void> => {
    await settled(1);
    if (!isBrokerUp) throw new AppError('unreachable', 'no broker');
    published.set(topic, (published.get(topic) ?? 0) + 1);
    const parsed = parseTopic(topic);
    if (parsed?.kind !== 'chunk') return;
    const { sha256, n } = parsed.parameters;
    for (const device of devices) if (!isLost()) device.hear(sha256, Number(n), bytes);
  };
  const server = createTransferServer({
    clock,
    random: fraction,
    fleet: 'lab',
    log: silentLog,
    publish,
    readChunk: async (sha256, n) => content.get(sha256)?.chunk(n),
    expectsMore: options.expectsMore ?? (() => false),
    limits: { bytesPerS: options.bytesPerS ?? 0, inFlight: 4, gatherMs: 90_000 },
  });
  server.start();

  const join = (name: string) => {
    const store = memoryStore();
    const fetcher = createFetcher({ store, clock, random: fraction, log: silentLog });
    const followed = new Set<string>();
    const channel = {
      follow: async (names: readonly string[]) => names.forEach((one) => void followed.add(one)),
      unfollow: async (names: readonly string[]) => names.forEach((one) => void followed.delete(one)),
      want: async (want: Parameters<typeof server.want>[1]) => {
        if (!isLost()) server.want(name, want);
      },
    };
    const done = fetcher.fetch(
      blobs.map(({ ref }) => ref),
      { signal: new AbortController().signal, noProgressMs: FOREVER_MS, onProgress: () => undefined },
    );
    const cut = (): void => {
      followed.clear();
      fetcher.linkDown();
    };
    const hear = (sha256: string, n: number, bytes: Uint8Array): void => {
      if (followed.has(sha256)) fetcher.receive(sha256, n, bytes);
    };
    const device = { store, fetcher, done, hear, cut, up: () => fetcher.linkUp(channel) };
    devices.add(device);
    device.up();
    return device;
  };
  const pass = async (ms: number, stepMs = 500): Promise<void> => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await settled(3);
      await clock.advance(stepMs);
    }
  };
  const isDone = (): boolean => [...devices].every(({ store }) => store.blobs.size === blobs.length);
  const untilDone = async (limitMs: number): Promise<void> => {
    for (let passed = 0; passed < limitMs && !isDone(); passed += 1_000) await pass(1_000);
    expect(isDone()).toBe(true);
    await Promise.all([...devices].map(({ done }) => done));
  };
  const setBroker = (isUp: boolean): void => {
    isBrokerUp = isUp;
    for (const device of devices) {
      if (isUp) device.up();
      else device.cut();
    }
  };
  const sentBytes = (): number => server.stats().publishedBytes;
  return {
    server,
    join,
    pass,
    untilDone,
    setBroker,
    published,
    sentBytes,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const TOTAL = BLOBS.reduce((sum, { ref }) => sum + ref.bytes, 0);

const JOINING_S = 20;
const CUT_S = 3;

/** Devices join, and the broker goes away for a while, at given seconds. */
async function begin(
  fleet: ReturnType<typeof worldOf>,
  { joinsS, cutS }: { readonly joinsS: readonly number[]; readonly cutS: number | null },
): Promise<void> {
  for (let second = 0; second <= JOINING_S; second += 1) {
    const joining = joinsS.filter((at) => at === second);
    for (const [index] of joining.entries()) fleet.join(`d${second}-${index}`);
    if (cutS === second) fleet.setBroker(false);
    if (cutS !== null && cutS + CUT_S === second) fleet.setBroker(true);
    await fleet.pass(1_000);
  }
}

test('everybody gets everything over a line that loses chunks, and no chunk is sent often', async () => {
  const world = fc.record({
    seed: fc.nat(),
    lossPercent: fc.integer({ min: 0, max: 30 }),
    joinsS: fc.array(fc.integer({ min: 0, max: JOINING_S }), { minLength: 1, maxLength: 6 }),
    cutS: fc.option(fc.integer({ min: 0, max: 10 })),
  });
  await fc.assert(
    fc.asyncProperty(world, async ({ seed, lossPercent, joinsS, cutS }) => {
      await using fleet = worldOf({ seed, lossPercent, bytesPerS: 2 * CHUNK_BYTES });
      await begin(fleet, { joinsS, cutS });
      await fleet.untilDone(1_800_000);
      expect(Math.max(...fleet.published.values())).toBeLessThanOrEqual(2 * joinsS.length + 10);
    }),
    { numRuns: 12 },
  );
});

test('on a line that loses nothing a device alone costs one pass', async () => {
  await using fleet = worldOf({});
  fleet.join('d1');
  await fleet.untilDone(10_000);
  expect(fleet.sentBytes()).toBe(TOTAL);
});

test('fifty devices that join over a minute cost little more than one', async () => {
  let joined = 0;
  await using fleet = worldOf({ expectsMore: () => joined < 50, bytesPerS: 4 * CHUNK_BYTES });
  for (let device = 0; device < 50; device += 1) {
    joined += 1;
    fleet.join(`d${device}`);
    await fleet.pass(1_200, 400);
  }
  await fleet.untilDone(120_000);
  expect(fleet.sentBytes()).toBeLessThanOrEqual(1.5 * TOTAL);
});

test('a broker that goes away in the middle costs what was under way', async () => {
  await using fleet = worldOf({ bytesPerS: 2 * CHUNK_BYTES });
  fleet.join('d1');
  fleet.join('d2');
  await fleet.pass(2_000);
  fleet.setBroker(false);
  await fleet.pass(60_000);
  fleet.setBroker(true);
  await fleet.untilDone(120_000);
  expect(fleet.sentBytes()).toBeLessThanOrEqual(1.5 * TOTAL);
});
