import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openBlobStore } from '../../../agent/blobs/blob-store.ts';
import { createInstaller } from '../../../agent/install/installer.ts';
import { openInstallJournal } from '../../../agent/store/install-journal.ts';
import { systemClock } from '../../../shared/clock.ts';
import type { EventBody } from '../../../shared/protocol/event.ts';
import { keptLog, stateFolder } from '../../support/agent.ts';
import { familyOfLevels, hostedDevice } from '../../support/family-host.ts';
import { Depot, depotFetcher, orderOf } from '../../support/install.ts';
import { temporaryFolder } from '../../support/temp.ts';

test('a family is installed on a device that answers frames: it is profiled, compared and serves, and no frame is lost', async () => {
  await using folder = await temporaryFolder();
  await familyOfLevels(join(folder.path, 'first'), [0, 1]);
  const next = await familyOfLevels(join(folder.path, 'next'), [0, 2], { version: 2 });
  const depot = new Depot(join(folder.path, 'depot'));
  const release = await depot.publish(next, 'full', { expiresTs: 8e15 });
  // What the host holds open is another database: a process has one.
  await using journalFolder = await stateFolder();
  await using device = await hostedDevice({ family: join(folder.path, 'first') });
  const blobs = await openBlobStore(device.state.path);
  const ended = Promise.withResolvers<EventBody>();
  const installer = createInstaller({
    ...{ journal: openInstallJournal(journalFolder.open()), stateDir: device.state.path, blobs },
    ...{ host: device.host, fetcher: depotFetcher(depot, blobs), facts: {} },
    ...{ clock: systemClock, now: () => 0, log: keptLog().log, isProven: () => true },
    keyring: () => depot.signing.keyring,
    orders: () => ({ family: orderOf(release, { soakMs: 100 }) }),
    event: (body) => {
      if (body.kind === 'install' && body.state !== 'in-progress') ended.resolve(body);
    },
    onChanged: () => undefined,
  });
  const stop = new AbortController();
  const running = installer.run(stop.signal);
  expect(await ended.promise).toMatchObject({ state: 'succeeded', step: 'committed' });
  stop.abort();
  await running;
  const { agreement } = installer.report().family ?? {};
  expect(agreement?.frames).toBeGreaterThan(0);
  expect(agreement?.share).toBeGreaterThan(0);
  expect(device.host.serving().sha256).toBe(next.sha256);
  expect(device.lost).toEqual([]);
}, 60_000);
