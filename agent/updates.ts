import { readFile } from 'node:fs/promises';
import { arch, totalmem } from 'node:os';
import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import { packageVersion } from '../shared/package.ts';
import type { Sqlite } from '../shared/sqlite.ts';
import { type BlobStore, openBlobStore } from './blobs/blob-store.ts';
import type { UpdatesConfig } from './config-updates.ts';
import type { InstallerDeps } from './install/installer.ts';
import { boardModel } from './machine.ts';
import { openProgramHost, type ProgramHost } from './slots/program-host.ts';
import { metaOf } from './store/database.ts';
import { openInstallJournal } from './store/install-journal.ts';
import { createFetcher, type Fetcher } from './transfer/fetcher.ts';
import { createHttpSource, type HttpSource } from './transfer/http-source.ts';
import { openTrust, type Trust } from './trust/trust.ts';

export interface UpdatesDeps {
  readonly config: UpdatesConfig & { readonly state: { readonly dir: string } };
  readonly database: Sqlite;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** What new families and programs come through, whatever they do to what serves. */
export interface Updates {
  readonly trust: Trust;
  readonly fetcher: Fetcher;
  /** All that an installer needs of these parts and of the machine. */
  readonly forInstaller: Pick<
    InstallerDeps,
    'journal' | 'stateDir' | 'blobs' | 'fetcher' | 'programs' | 'keyring' | 'facts' | 'clock' | 'log'
  >;
}

/**
 * Opens what is kept of releases and of who may sign them; asks nobody yet.
 * @throws AppError `config` or `system` when the pinned roots or the store of blobs cannot be read
 */
export async function openUpdates({ config, database, clock, random, log }: UpdatesDeps): Promise<Updates> {
  const stateDir = config.state.dir;
  const trust = await openTrust({
    meta: metaOf(database),
    rootFile: config.trust.root ?? undefined,
    log,
  });
  const blobs: BlobStore = await openBlobStore(stateDir);
  const programs: ProgramHost | undefined = await openProgramHost({
    stateDir,
    env: process.env,
    channel: process,
    clock,
    nodeMajor: Number.parseInt(process.versions.node, 10),
  });
  const http = httpOf(config.transfer, { clock, random, log });
  const fetcher = createFetcher({ store: blobs, clock, random, log, ...(http && { http }) });
  return {
    trust,
    fetcher,
    forInstaller: {
      ...{ journal: openInstallJournal(database), stateDir, blobs, fetcher, programs, clock, log },
      keyring: trust.keyring,
      facts: {
        agentVersion: packageVersion(),
        arch: arch(),
        boardModel: boardModel(),
        memoryBytes: totalmem(),
      },
    },
  };
}

function httpOf(
  { url, tokenFile }: UpdatesConfig['transfer'],
  deps: { readonly clock: Clock; readonly random: Random; readonly log: Logger },
): HttpSource | undefined {
  if (url === null) return undefined;
  // Read before every request: tokens are renewed.
  const token = tokenFile === null ? undefined : async () => (await readFile(tokenFile, 'utf8')).trim();
  return createHttpSource({ ...deps, baseUrl: url, token });
}
