import { readFileSync } from 'node:fs';
import { systemClock } from '../../shared/clock.ts';
import { KillFleet } from '../support/kill-fleet.ts';
import { BLOCK_MESSAGES, expectedCounts, sendNoise } from './noise.ts';
import { type Finding, findingOf, type Scenario, type Stage, unless } from './scenario.ts';
import { until } from './until.ts';

const BLOCKS = 150;
/** What the machine must at least have carried, so that the rest says something. */
const MIN_RATE_PER_S = 8_000;
/** The controller may grow by so much: its queue has 32 MiB, the rest is garbage that is not collected yet. */
const MAX_GROWTH_BYTES = 400 * 2 ** 20;
const SAMPLE_MS = 250;

export const malformedScenario: Scenario = {
  summary: '10,000 malformed messages a second beside good ones: counted by reason, and nothing else happens',
  run: malformed,
};

async function malformed({ did }: Stage): Promise<Finding> {
  // With its own broker: all of it goes through the controller's main thread.
  const agents = [{ device: 'one' }, { device: 'two' }];
  await using fleet = await KillFleet.start({ agents, isEmbedded: true });
  await fleet.waitForTraffic();
  const memory = watchMemory(fleet.pidOf('controller'));
  const windowsBefore = await fleet.storedWindows();
  const ratePerS = await sendNoise(Number(new URL(fleet.mqttUrl).port), BLOCKS);
  const windowsDuring = (await fleet.storedWindows()) - windowsBefore;
  did(
    `${BLOCKS * BLOCK_MESSAGES} messages at ${Math.round(ratePerS)} a second, ${windowsDuring} good windows beside them`,
  );
  const expected = expectedCounts(BLOCKS);
  const all = sum(expected);
  const counted = async () => (await fleet.controllerState()).ingest.rejected;
  await until('all of them to be counted', async () => sum(await counted()) >= all, 30_000).catch(
    () => undefined,
  );
  const found = await counted();
  const { baseBytes, peakBytes } = await memory.stop();
  await fleet.waitForTraffic();
  await fleet.stopAll();
  const figures = {
    ratePerS: Math.round(ratePerS),
    windowsDuring,
    baseMebibytes: Math.round(baseBytes / 2 ** 20),
    peakMebibytes: Math.round(peakBytes / 2 ** 20),
    ...Object.fromEntries(Object.entries(found).map(([reason, count]) => [`rejected: ${reason}`, count])),
  };
  return findingOf(fleet, figures, [
    ...problemsOfCounts(found, expected),
    ...unless(ratePerS >= MIN_RATE_PER_S, `only ${Math.round(ratePerS)} messages a second were taken`),
    ...unless(windowsDuring > 0, 'no good window was stored meanwhile'),
    ...unless(
      peakBytes - baseBytes <= MAX_GROWTH_BYTES,
      `the controller grew to ${figures.peakMebibytes} MiB`,
    ),
  ]);
}

/** What waits for too long is dropped before it is read: it counts as overload instead of its own reason. */
function problemsOfCounts(
  found: Readonly<Record<string, number>>,
  expected: Readonly<Record<string, number>>,
): string[] {
  const { overload = 0 } = found;
  return [
    ...unless(sum(found) === sum(expected), `${sum(found)} were counted, ${sum(expected)} sent`),
    ...Object.entries(expected).flatMap(([reason, count]) => {
      const has = found[reason] ?? 0;
      return unless(has <= count && has >= count - overload, `${reason}: ${has} of ${count}`);
    }),
  ];
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

/** Follows the resident memory of a process. */
function watchMemory(pid: number) {
  const stopping = new AbortController();
  const baseBytes = residentBytes(pid);
  let peakBytes = baseBytes;
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      peakBytes = Math.max(peakBytes, residentBytes(pid));
      await systemClock.sleep(SAMPLE_MS);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await watching;
      return { baseBytes, peakBytes };
    },
  };
}

function residentBytes(pid: number): number {
  const [, kibibytes = '0'] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * 1_024;
}
