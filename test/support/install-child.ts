/** An agent as far as installs go, with real files and a real cutter, to be killed at any moment. */

import { openBlobStore } from '../../agent/blobs/blob-store.ts';
import { createInstaller } from '../../agent/install/installer.ts';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { activateFamily } from '../../agent/store/family-store.ts';
import { openInstallJournal } from '../../agent/store/install-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import type { Order } from '../../shared/protocol/release.ts';
import { keptLog } from './agent.ts';
import { Depot, depotFetcher, fakeHost } from './install.ts';
import type { SigningWorld } from './signing.ts';

/** What a test has it do. */
export interface InstallTask {
  readonly stateDir: string;
  readonly source: string;
  readonly depot: string;
  readonly keyring: SigningWorld['keyring'];
  readonly order: Order;
}

process.once('message', (task: InstallTask) => void work(task));
process.once('disconnect', () => process.exit(0));

/** Tells `went on` with every blob and every step, and how the order ended. */
async function work({ stateDir, source, depot, keyring, order }: InstallTask): Promise<void> {
  const tell = (): void => void process.send?.('went on');
  tell();
  const clock = systemClock;
  const now = () => order.soakMs;
  const database = openAgentDatabase(stateDir);
  const { family } = await activateFamily(source, {
    ...{ database, stateDir, now, qualifier: 'none', qualify: async () => true, admit: () => undefined },
  });
  const blobs = await openBlobStore(stateDir);
  const { fetch } = depotFetcher(new Depot(depot), blobs);
  const ended = Promise.withResolvers<void>();
  const installer = createInstaller({
    ...{ journal: openInstallJournal(database), stateDir, blobs, clock, now, host: fakeHost(family) },
    fetcher: {
      fetch: (refs, options) =>
        fetch(refs, {
          ...options,
          onProgress: (progress) => {
            options.onProgress(progress);
            tell();
          },
        }),
    },
    keyring: () => keyring,
    orders: () => ({ family: order }),
    facts: {},
    isProven: () => true,
    log: keptLog().log,
    event: (body) => {
      tell();
      if (body.kind === 'install' && body.rollout === order.rollout && body.state !== 'in-progress') {
        ended.resolve();
      }
    },
    onChanged: () => undefined,
  });
  const { family: report } = installer.report();
  const stop = new AbortController();
  const running = installer.run(stop.signal);
  const isOver =
    report?.rollout === order.rollout && report.deed === order.deed && report.state !== 'in-progress';
  if (!isOver) await ended.promise;
  stop.abort();
  await running;
  process.send?.(installer.report().family);
  database.close();
  process.disconnect();
}
