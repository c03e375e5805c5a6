import { watch } from 'node:fs';
import { join } from 'node:path';
import { connectMqtt } from '../../shared/mqtt.ts';
import { decodeMessage } from '../../shared/protocol/messages.ts';
import { CHUNK_BYTES } from '../../shared/protocol/release.ts';
import { topicOf } from '../../shared/protocol/topics.ts';
import { median } from '../../shared/statistics.ts';
import { startBenchProcess } from './history-processes.ts';
import { type Figure, judged } from './report.ts';
import { bulkyFamily } from './rollout-families.ts';
import { type BenchFleet, startBenchFleet } from './rollout-fleet.ts';

const BLOB_BYTES = 64 * 2 ** 20;
/** As many as the controller has under way by default. */
const IN_FLIGHT = 16;
/** Both ways take turns: what else the machine does hits them alike. */
const ROUNDS = 3;
const RATIO_BAR = 0.6;
/** Longer than any of this takes. */
const PATIENCE_MS = 60_000;

/** How fast a blob gets into a device's store, against what the same broker carries between two bare clients. */
export async function transferFigures(): Promise<Figure[]> {
  await using fleet = await startBenchFleet({ controllerArgs: ['--transfer-rate', '0'], isDirect: true });
  const family = join(fleet.dir, 'factory');
  await bulkyFamily(family, 1, 1_000);
  await fleet.startSwarm({ devices: 1, family, url: fleet.brokerUrl });
  await fleet.untilDevices(1, true);
  const rounds: { readonly blob: number; readonly bare: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const blob = await blobRun(fleet, 2 + round);
    rounds.push({ blob, bare: await bareRun(fleet.brokerUrl) });
  }
  const rate = (name: string, of: (round: (typeof rounds)[number]) => number): Figure => ({
    name,
    value: median(rounds.map(of)),
    unit: 'MB/s',
    better: 'higher',
  });
  return [
    rate('transfer_mb_per_s', ({ blob }) => blob),
    rate('limit_broker_mb_per_s', ({ bare }) => bare),
    judged({
      name: 'transfer_ratio',
      value: median(rounds.map(({ blob, bare }) => blob / bare)),
      unit: '1',
      better: 'higher',
      bar: RATIO_BAR,
    }),
  ];
}

/** From the device's first question for the blob until the whole of it is checked and on its disk. */
async function blobRun(fleet: BenchFleet, version: number): Promise<number> {
  const folder = join(fleet.dir, `bulky-${version}`);
  const { manifest } = await bulkyFamily(folder, version, BLOB_BYTES);
  const sha256 = manifest.levels[0]?.model.sha256 ?? '';
  await fleet.run('family', 'publish', folder);
  const asked = Promise.withResolvers<number>();
  await using observer = await connectMqtt({
    url: fleet.brokerUrl,
    clientId: `bench-${version}`,
    keepaliveS: 30,
    connectTimeoutMs: 5_000,
    publishTimeoutMs: 5_000,
    onMessage: (topic, bytes) => {
      const message = decodeMessage(topic, bytes);
      if (message.ok && message.kind === 'want' && message.payload.sha256 === sha256)
        asked.resolve(performance.now());
    },
  });
  await observer.subscribe([topicOf('want', { fleet: '+', device: '+' })]);
  const stored = renamedTo(join(fleet.dir, 'swarm', 'swarm-1', 'blobs'), sha256);
  const { id } = await fleet.begin('bulky', { version });
  const tookMs = (await stored) - (await asked.promise);
  await fleet.untilCompleted(id);
  return megabytesPerS(tookMs);
}

/** When a file has got that name, by `performance.now()`. */
function renamedTo(folder: string, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const late = AbortSignal.timeout(PATIENCE_MS);
    const watcher = watch(folder, { signal: late }, (_, file) => {
      if (file !== name) return;
      resolve(performance.now());
      watcher.close();
    });
    watcher.on('error', reject);
    late.addEventListener('abort', () => reject(late.reason));
  });
}

async function bareRun(url: string): Promise<number> {
  const args = [url, String(BLOB_BYTES / CHUNK_BYTES), String(IN_FLIGHT)];
  await using subscriber = startBenchProcess({ module: 'rollout-bare', args: ['subscribe', ...args] });
  await subscriber.heard('listens');
  await using publisher = startBenchProcess({ module: 'rollout-bare', args: ['publish', ...args] });
  await publisher.heard('listens');
  const received = subscriber.heard('moment');
  const begun = await publisher.ask({ type: 'run' }, 'moment');
  return megabytesPerS((await received).monoMs - begun.monoMs);
}

function megabytesPerS(tookMs: number): number {
  return BLOB_BYTES / 1e6 / (tookMs / 1_000);
}
