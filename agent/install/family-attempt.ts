import { AppError } from '../../shared/errors.ts';
import { type Family, readFamily } from '../../shared/family/read.ts';
import type { InstallReport, Order } from '../../shared/protocol/release.ts';
import type { FamilyHost } from '../service/family-host.ts';
import type { PreparedFamily } from '../service/prepared.ts';
import { familyFolder } from '../store/family-folder.ts';
import type { Installed } from '../store/install-journal.ts';
import type { Attempt, Progress } from './attempt.ts';
import {
  adoptLocal,
  type FamilyRelease,
  familyBlobOf,
  modelsToCut,
  readFamilyRelease,
  refsOf,
  stageFamily,
} from './family-files.ts';
import type { Done } from './next-step.ts';
import {
  checkSpace,
  dropRotten,
  fetchBlobs,
  fetchSound,
  openOrderedRelease,
  type ReleaseDeps,
} from './release.ts';
import { within } from './within.ts';

/** Enough to tell 95 % of agreement from 99 %, and some seconds of frames. */
const COMPARED_FRAMES = 100;
/** A camera that is slower than three frames a second is compared on what came. */
const COMPARE_MS = 30_000;

export interface FamilyAttemptDeps extends ReleaseDeps {
  readonly stateDir: string;
  readonly host: FamilyHost;
  readonly onProgress: (progress: Progress) => void;
}

/**
 * Begins to carry out an order of a family.
 * @param goal of a revert: what it goes back to
 */
export function createFamilyAttempt(
  order: Order,
  goal: Installed | undefined,
  deps: FamilyAttemptDeps,
): Attempt {
  return new FamilyAttempt(order, goal, deps);
}

class FamilyAttempt implements Attempt {
  readonly #order: Order;
  readonly #deps: FamilyAttemptDeps;
  #done: Done = 'nothing';
  #target: Installed | undefined;
  #release: FamilyRelease | undefined;
  #family: Family | undefined;
  #prepared: PreparedFamily | undefined;
  #blobs = new Set<string>();
  #hasRefetched = false;

  constructor(order: Order, goal: Installed | undefined, deps: FamilyAttemptDeps) {
    this.#order = order;
    this.#deps = deps;
    this.#target = goal;
    this.#blobs.add(order.release.manifest.sha256);
  }

  get done(): Done {
    return this.#done;
  }

  get target(): Installed | undefined {
    return this.#done === 'nothing' || this.#done === 'fetched' ? undefined : this.#target;
  }

  get blobs(): ReadonlySet<string> {
    return this.#blobs;
  }

  async fetch(signal: AbortSignal): Promise<void> {
    const { blobs, stateDir, onProgress } = this.#deps;
    const release = await openOrderedRelease('family', this.#order, this.#deps, signal);
    for (const { sha256 } of release.blobs) this.#blobs.add(sha256);
    const family = familyBlobOf(release);
    await fetchSound([family], this.#order, this.#deps, signal);
    const opened = await readFamilyRelease(release, blobs);
    for (const { model } of opened.family.levels) this.#blobs.add(model.sha256);
    await adoptLocal(stateDir, opened, blobs);
    const refs = refsOf(release);
    const toCut = await modelsToCut(opened, blobs);
    const cutBytes = toCut.reduce((sum, { model }) => sum + model.bytes, 0);
    await checkSpace(refs, cutBytes, this.#deps, signal);
    await fetchBlobs(refs, this.#order, this.#deps, signal, onProgress);
    this.#release = opened;
    this.#done = 'fetched';
  }

  async stage(signal: AbortSignal): Promise<void> {
    const family = this.#order.deed === 'install' ? await this.#staged(signal) : await this.#kept();
    if (family === undefined) return;
    this.#family = family;
    this.#done = 'staged';
  }

  async profile(signal: AbortSignal): Promise<InstallReport['profile']> {
    const family = this.#family;
    if (family === undefined) throw new Error('invariant broken: a family is staged before it is profiled');
    const { host, clock } = this.#deps;
    const { stepTimeoutMs } = this.#order;
    const bound = { ms: stepTimeoutMs, what: 'profiling', clock, signal };
    this.#prepared = await within(bound, (signal) => host.prepare(family, signal));
    this.#done = 'profiled';
    const prepared = this.#prepared;
    return await within({ ...bound, what: 'measuring' }, (signal) => prepared.costs(signal));
  }

  async compare(signal: AbortSignal): Promise<InstallReport['agreement']> {
    const { clock } = this.#deps;
    const bound = { ms: COMPARE_MS + this.#order.stepTimeoutMs, what: 'comparing', clock, signal };
    const options = { frames: COMPARED_FRAMES, withinMs: COMPARE_MS };
    const agreement = await within(bound, (signal) => this.#ready().compare({ ...options, signal }));
    this.#done = 'compared';
    return agreement;
  }

  async activate(): Promise<void> {
    const prepared = this.#ready();
    // An order that is cancelled meanwhile waits for it: else nobody knew what serves. The host ends it with itself.
    const { signal } = new AbortController();
    const bound = { ms: this.#order.stepTimeoutMs, what: 'activating', clock: this.#deps.clock, signal };
    await within(bound, () => prepared.activate());
    this.#prepared = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    await prepared?.[Symbol.asyncDispose]();
  }

  #ready(): PreparedFamily {
    if (this.#prepared === undefined)
      throw new Error('invariant broken: a family is prepared before it serves');
    return this.#prepared;
  }

  /** Undefined: blobs had gone bad, and have to be fetched anew; that is tried once. */
  async #staged(signal: AbortSignal): Promise<Family | undefined> {
    const release = this.#release;
    if (release === undefined) throw new Error('invariant broken: a release is fetched before it is staged');
    const { stateDir, blobs: store, clock } = this.#deps;
    this.#target = installedOf(this.#order, release);
    const there = await readFamily(familyFolder(stateDir, release.sha256)).catch(() => undefined);
    if (there !== undefined) return there;
    try {
      const timeoutMs = this.#order.stepTimeoutMs;
      return await stageFamily(release, { stateDir, store, timeoutMs, clock, signal });
    } catch (error) {
      if (this.#hasRefetched || !(error instanceof AppError && error.code === 'invalid')) throw error;
      this.#hasRefetched = true;
      const cut = release.family.levels.map(({ model }) => model);
      if ((await dropRotten([...release.release.blobs, ...cut], store)) === 0) throw error;
      this.#done = 'nothing';
      return undefined;
    }
  }

  async #kept(): Promise<Family> {
    const sha256 = this.#target?.sha256;
    const { name, version } = this.#order.release;
    if (typeof sha256 !== 'string') {
      throw new AppError('not-found', `there is no family before ${name} ${version} on this device`);
    }
    return await readFamily(familyFolder(this.#deps.stateDir, sha256));
  }
}

function installedOf({ release: ref }: Order, { release, sha256 }: FamilyRelease): Installed {
  const { name, version, manifest } = ref;
  return {
    sha256,
    release: { name, version, manifest: manifest.sha256 },
    blobs: release.backbone === undefined ? [] : [release.backbone.sha256],
  };
}
