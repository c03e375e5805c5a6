import type { Order } from '../../shared/protocol/release.ts';
import type { ReleaseManifest } from '../../shared/release/manifest.ts';
import type { ProgramHost } from '../slots/program-host.ts';
import type { Installed } from '../store/install-journal.ts';
import { type Attempt, type Progress, Refused } from './attempt.ts';
import { refsOf } from './family-files.ts';
import type { Done } from './next-step.ts';
import { checkSpace, fetchSound, openOrderedRelease, type ReleaseDeps } from './release.ts';

export interface ProgramAttemptDeps extends ReleaseDeps {
  readonly programs: ProgramHost;
  readonly onProgress: (progress: Progress) => void;
}

/** Unpacked, a program takes several times its archive. */
const UNPACKED_FACTOR = 6;

/**
 * Begins to carry out an order of a program.
 * @param goal of a revert: what it goes back to
 */
export function createProgramAttempt(
  order: Order,
  goal: Installed | undefined,
  deps: ProgramAttemptDeps,
): Attempt {
  let done: Done = 'nothing';
  let target = goal;
  let release: ReleaseManifest | undefined;
  const blobs = new Set([order.release.manifest.sha256]);
  const notForPrograms = (): Promise<never> =>
    Promise.reject(new Error('invariant broken: not for programs'));
  return {
    get done() {
      return done;
    },
    get target() {
      return done === 'staged' ? target : undefined;
    },
    blobs,
    fetch: async (signal) => {
      release = await openOrderedRelease('program', order, deps, signal);
      const refs = refsOf(release);
      for (const { sha256 } of refs) blobs.add(sha256);
      const packedBytes = refs.reduce((sum, { bytes }) => sum + bytes, 0);
      await checkSpace(refs, packedBytes * UNPACKED_FACTOR, deps, signal);
      // What is unpacked is run: its name alone is no proof of what it is.
      await fetchSound(refs, order, deps, signal, deps.onProgress);
      done = 'fetched';
    },
    stage: async (signal) => {
      if (order.deed === 'install') target = await stage(order, release, deps, signal);
      done = 'staged';
    },
    profile: notForPrograms,
    compare: notForPrograms,
    // This process ends here; the next one goes on.
    activate: async (signal) => {
      const { soakMs, stepTimeoutMs } = order;
      // What is not proven when its soak is over has a step's time to become so.
      const trial = { soakMs: soakMs + stepTimeoutMs, signal };
      await deps.programs.switchTo(target?.sha256 ?? undefined, trial);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function stage(
  order: Order,
  release: ReleaseManifest | undefined,
  { programs, blobs }: ProgramAttemptDeps,
  signal: AbortSignal,
): Promise<Installed> {
  const [blob] = release?.blobs ?? [];
  const needs = release?.program;
  if (blob === undefined || needs === undefined) throw new Refused('the release has no program');
  await programs.stage({ path: blobs.pathOf(blob.sha256), sha256: blob.sha256 }, needs, signal);
  const { name, version, manifest } = order.release;
  return { sha256: blob.sha256, release: { name, version, manifest: manifest.sha256 }, blobs: [] };
}
