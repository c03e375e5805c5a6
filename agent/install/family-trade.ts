import type { Family } from '../../shared/family/read.ts';
import { readFamily } from '../../shared/family/read.ts';
import type { FamilyHost } from '../service/family-host.ts';
import { collectFamilies, familyFolder } from '../store/family-folder.ts';
import type { Installed } from '../store/install-journal.ts';
import type { Trade } from './carry-out.ts';
import { createFamilyAttempt } from './family-attempt.ts';
import type { ReleaseDeps } from './release.ts';

export interface FamilyTradeDeps extends ReleaseDeps {
  readonly stateDir: string;
  readonly host: FamilyHost;
  /** Removes blobs that nothing needs, of whichever kind. */
  readonly collectBlobs: () => Promise<void>;
}

/** How orders of families are carried out. */
export function createFamilyTrade(deps: FamilyTradeDeps): Trade {
  const { host, stateDir, journal } = deps;
  const first = host.serving();
  const factory = (): Installed => ({ sha256: journal.factoryFamily() ?? first.sha256, blobs: [] });
  return {
    kind: 'family',
    running: () => host.serving().sha256,
    factory,
    begin: (order, goal, onProgress) => createFamilyAttempt(order, goal, { ...deps, onProgress }),
    // Whether it is any good is for the rollout's gates to say.
    isProven: () => true,
    lostReason: () => 'the family on trial does not serve any more; what was committed before does',
    beforeCommit: async () => undefined,
    restore: async ({ sha256 }, signal) => {
      if (sha256 === host.serving().sha256) return;
      await using prepared = await host.prepare(await keptFamily(stateDir, sha256, first), signal);
      await prepared.activate();
    },
    collect: async () => {
      const { committed, before, candidate } = journal.holdings('family');
      const kept = [committed, before, candidate, factory()].map(
        (installed) => installed?.sha256 ?? undefined,
      );
      await collectFamilies(stateDir, [...kept, host.serving().sha256]);
      await deps.collectBlobs();
    },
  };
}

/** A family that is kept on the disk; the one that the agent began with may lie elsewhere. */
async function keptFamily(stateDir: string, sha256: string | null, first: Family): Promise<Family> {
  return sha256 === first.sha256 ? first : await readFamily(familyFolder(stateDir, sha256 ?? ''));
}
