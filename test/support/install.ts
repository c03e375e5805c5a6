import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlobRef, type BlobStore, openBlobStore } from '../../agent/blobs/blob-store.ts';
import { createInstaller, type Installer, type InstallerDeps } from '../../agent/install/installer.ts';
import type { FamilyHost } from '../../agent/service/family-host.ts';
import type { ProgramHost } from '../../agent/slots/program-host.ts';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { activateFamily } from '../../agent/store/family-store.ts';
import { openInstallJournal } from '../../agent/store/install-journal.ts';
import { writeFamily } from '../../models/family/write.ts';
import type { Family } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import type { EventBody } from '../../shared/protocol/event.ts';
import { CHUNK_BYTES, type InstallReport, type Order } from '../../shared/protocol/release.ts';
import {
  encodeRelease,
  type FamilyForm,
  familyRelease,
  filesOfFamily,
  type ReleaseFacts,
} from '../../shared/release/build.ts';
import { hashBlob } from '../../shared/release/hash-blob.ts';
import { chunkCountOf, type ReleaseManifest } from '../../shared/release/manifest.ts';
import { signBytes } from '../../shared/release/signature.ts';
import type { Sqlite } from '../../shared/sqlite.ts';
import { keptLog, START_TS } from './agent.ts';
import { bundledFamily } from './bundled.ts';
import { type ManualClock, manualClock } from './clock.ts';
import { type SigningWorld, sha256Of, signingWorld } from './signing.ts';
import { temporaryFolder } from './temp.ts';

/** A family whose models are some bytes: nobody runs them. The same name and version give the same family. */
export async function tinyFamily(folder: string, version: number): Promise<Family> {
  const { format: _, levels, backbone: __, ...head } = (await bundledFamily()).manifest;
  const files = levels.slice(0, 2).map(({ model: _model, recipe: _recipe, ...level }, index) => ({
    level,
    // The first level is the same in each version.
    model: Buffer.alloc(CHUNK_BYTES + 100 * (index + 1), index === 0 ? 'shared' : `of ${version}`),
  }));
  return await writeFamily(folder, { ...head, version }, files);
}

/** Everything that was published, by its SHA-256. */
export class Depot {
  readonly folder: string;
  readonly signing: SigningWorld;
  /** Blobs that were fetched, in order. */
  readonly fetched: string[] = [];

  constructor(folder: string, signing: SigningWorld = signingWorld()) {
    this.folder = folder;
    this.signing = signing;
  }

  /** Signs a release of a family, and keeps what it needs. */
  async publish(
    family: Family,
    form: FamilyForm = 'full',
    change: Partial<ReleaseFacts> & { readonly backbonePath?: string } = {},
  ): Promise<Order['release']> {
    const files = await Promise.all(
      filesOfFamily(family, form, change.backbonePath).map(async (file) => ({
        ...file,
        ...(await hashBlob(file.path)),
      })),
    );
    for (const { sha256, path } of files) await this.keep(path, sha256);
    const { name, version } = family.manifest;
    const times = { createdTs: START_TS, expiresTs: START_TS + 1e10 };
    return await this.sign(
      familyRelease(family.manifest, files, { name, version, form, ...times, ...change }),
    );
  }

  /** Signs any manifest, and keeps it. */
  async sign(manifest: ReleaseManifest): Promise<Order['release']> {
    const bytes = encodeRelease(manifest);
    const sha256 = sha256Of(bytes);
    await mkdir(this.folder, { recursive: true });
    await writeFile(join(this.folder, sha256), bytes);
    const signature = signBytes(this.signing.publisher.privatePem, bytes);
    const { name, version } = manifest;
    return { name, version, manifest: { sha256, bytes: bytes.length }, signature };
  }

  async keep(path: string, sha256: string): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await copyFile(path, join(this.folder, sha256));
  }

  async read(sha256: string): Promise<Uint8Array> {
    return await readWhole(join(this.folder, sha256), 2 ** 30);
  }
}

/** An order to install a release. */
export function orderOf(release: Order['release'], change: Partial<Order> = {}): Order {
  return { rollout: 'r1', deed: 'install', release, soakMs: 0, stepTimeoutMs: 600_000, ...change };
}

/** A fetcher that copies blobs out of a depot, in chunks. */
export function depotFetcher(depot: Depot, store: BlobStore): InstallerDeps['fetcher'] {
  const fetchOne = async (ref: BlobRef): Promise<void> => {
    const bytes = await depot.read(ref.sha256);
    await using blob = await store.open(ref);
    for (let n = 0; n < chunkCountOf(ref.bytes); n += 1) {
      await blob.write(n, bytes.subarray(n * CHUNK_BYTES, (n + 1) * CHUNK_BYTES));
    }
    await blob.finish();
    depot.fetched.push(ref.sha256);
  };
  return {
    fetch: async (refs, { signal, onProgress }) => {
      const ofBytes = refs.reduce((sum, { bytes }) => sum + bytes, 0);
      let bytes = 0;
      for (const ref of refs) {
        signal.throwIfAborted();
        await fetchOne(ref);
        bytes += ref.bytes;
        onProgress({ bytes, ofBytes });
      }
    },
  };
}

/** A host that serves at once whatever it is given. */
export interface FakeHost extends FamilyHost {
  /** SHA-256 of each family that was activated, in order. */
  readonly activated: string[];
  /** Prepared families that were neither activated nor released. */
  held(): number;
}

export function fakeHost(first: Family): FakeHost {
  let serving = first;
  let held = 0;
  const activated: string[] = [];
  return {
    activated,
    held: () => held,
    serving: () => serving,
    prepare: async (family) => {
      held += 1;
      let isHeld = true;
      const release = (): void => {
        if (isHeld) held -= 1;
        isHeld = false;
      };
      return {
        family,
        costs: async () => ({ latencyMs: 2, beforeMs: 1.9 }),
        compare: async () => ({ frames: 100, share: 0.97 }),
        activate: async () => {
          release();
          serving = family;
          activated.push(family.sha256);
        },
        [Symbol.asyncDispose]: async () => release(),
      };
    },
  };
}

/** One life of an agent's process, as far as installs go. */
export interface InstallProcess {
  readonly installer: Installer;
  readonly host: FakeHost;
  readonly database: Sqlite;
  readonly family: Family;
  /** Why the family that was asked for was not taken. */
  readonly refused: string | undefined;
  report(): InstallReport | undefined;
  /** Ends it in good order. */
  stop(): Promise<void>;
  /** Ends it as a crash does: nothing is written down any more. */
  die(): Promise<void>;
}

export interface StartOptions {
  readonly host?: (first: Family) => FakeHost;
  readonly fetch?: (fetch: InstallerDeps['fetcher']['fetch']) => InstallerDeps['fetcher']['fetch'];
  readonly deps?: Partial<InstallerDeps>;
  /** Else as much as the disk says. */
  readonly freeBytes?: () => number;
  readonly programs?: ProgramHost;
}

/** A device's state folder, what was published, and what the controller wants. */
export interface InstallWorld extends AsyncDisposable {
  readonly path: string;
  readonly stateDir: string;
  /** The configured folder; it holds version 1 of the tiny family. */
  readonly source: string;
  readonly depot: Depot;
  readonly clock: ManualClock;
  readonly events: Extract<EventBody, { kind: 'install' }>[];
  readonly wants: { family?: unknown; program?: unknown };
  readonly trust: { keyring: SigningWorld['keyring'] | undefined };
  /** Another version of the tiny family. */
  family(version: number): Promise<Family>;
  start(options?: StartOptions): Promise<InstallProcess>;
  /** Resolves when something that was told makes it true. */
  until(isTrue: () => boolean): Promise<void>;
}

function withSpace(store: BlobStore, freeBytes: (() => number) | undefined): BlobStore {
  if (freeBytes === undefined) return store;
  return {
    pathOf: (sha256) => store.pathOf(sha256),
    has: (ref) => store.has(ref),
    adopt: (path, sha256) => store.adopt(path, sha256),
    open: (ref) => store.open(ref),
    missingBytes: (refs) => store.missingBytes(refs),
    freeBytes: async () => freeBytes(),
    collect: (keep) => store.collect(keep),
  };
}

export async function installWorld(): Promise<InstallWorld> {
  const folder = await temporaryFolder();
  const stateDir = join(folder.path, 'state');
  const source = join(folder.path, 'source');
  await mkdir(stateDir);
  await tinyFamily(source, 1);
  const depot = new Depot(join(folder.path, 'depot'));
  const clock = manualClock(START_TS);
  const events: InstallWorld['events'] = [];
  const wants: InstallWorld['wants'] = {};
  const trust: InstallWorld['trust'] = { keyring: depot.signing.keyring };
  const watchers = new Set<() => void>();
  const processes = new Set<InstallProcess>();
  const told = (): void => {
    for (const watch of watchers) watch();
  };
  const start = async (options: StartOptions = {}): Promise<InstallProcess> => {
    const database = openAgentDatabase(stateDir);
    const { family, refused } = await activateFamily(source, {
      ...{ database, stateDir, now: clock.now, qualifier: 'none' },
      ...{ qualify: async () => true, admit: () => undefined },
    });
    const host = options.host?.(family) ?? fakeHost(family);
    const store = await openBlobStore(stateDir);
    const blobs = withSpace(store, options.freeBytes);
    const { fetch } = depotFetcher(depot, store);
    const installer = createInstaller({
      ...{ journal: openInstallJournal(database), stateDir, blobs, host, clock, now: clock.now },
      fetcher: { fetch: options.fetch?.(fetch) ?? fetch },
      programs: options.programs,
      keyring: () => trust.keyring,
      orders: () => wants,
      facts: { agentVersion: '9.0.0', arch: 'arm64', boardModel: 'Test Board', memoryBytes: 2 ** 33 },
      isProven: () => true,
      log: keptLog().log,
      event: (body) => void (body.kind === 'install' && events.push(body)),
      onChanged: told,
      ...options.deps,
    });
    const stopping = new AbortController();
    const running = installer.run(stopping.signal);
    const end = async (isDeath: boolean): Promise<void> => {
      if (!processes.delete(process)) return;
      // A database that is closed writes nothing any more.
      if (isDeath) database.close();
      stopping.abort(new Error('the process ends'));
      await running.catch((error: unknown) => {
        if (!isDeath) throw error;
      });
      database.close();
    };
    const process: InstallProcess = {
      ...{ installer, host, database, family, refused: refused?.message },
      report: () => installer.report().family,
      stop: () => end(false),
      die: () => end(true),
    };
    processes.add(process);
    return process;
  };
  return {
    ...{ path: folder.path, stateDir, source, depot, clock, events, wants, trust, start },
    family: (version) => tinyFamily(join(folder.path, `family-${version}`), version),
    until: async (isTrue) => {
      if (isTrue()) return;
      const met = Promise.withResolvers<void>();
      const watch = (): void => void (isTrue() && met.resolve());
      watchers.add(watch);
      await met.promise.finally(() => watchers.delete(watch));
    },
    [Symbol.asyncDispose]: async () => {
      for (const process of processes) await process.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}
