import type { Loop } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { given } from '../../shared/given.ts';
import type { Logger } from '../../shared/log.ts';
import type { EventBody } from '../../shared/protocol/event.ts';
import type { InstallReport, ReleaseKind } from '../../shared/protocol/release.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import type { DeviceFacts } from '../../shared/release/verify.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { FamilyHost } from '../service/family-host.ts';
import type { ProgramHost } from '../slots/program-host.ts';
import type { InstallJournal } from '../store/install-journal.ts';
import type { Fetcher } from '../transfer/fetcher.ts';
import type { Trade } from './carry-out.ts';
import { createFamilyTrade } from './family-trade.ts';
import { createLane, type Lane } from './lane.ts';
import { createProgramTrade } from './program-trade.ts';
import type { ReleaseDeps } from './release.ts';

export interface InstallerDeps {
  readonly journal: InstallJournal;
  readonly stateDir: string;
  readonly blobs: BlobStore;
  readonly fetcher: Pick<Fetcher, 'fetch'>;
  readonly host: FamilyHost;
  /** Absent: no launcher started this agent, orders of programs are rejected. */
  readonly programs?: ProgramHost | undefined;
  /** Whose signatures count. */
  readonly keyring: () => Keyring | undefined;
  /** The orders in the device's desired document, as they came. */
  readonly orders: () => { readonly family?: unknown; readonly program?: unknown };
  readonly facts: DeviceFacts;
  /** Whether this process has had a link to the controller and has answered frames: it works at all. */
  readonly isProven: () => boolean;
  readonly clock: Clock;
  /** The last time that is known to have passed, milliseconds since the epoch; an unset clock shows less. */
  readonly now: () => number;
  readonly log: Logger;
  readonly event: (body: EventBody) => void;
  /** What `report` says has changed. */
  readonly onChanged: () => void;
}

/** Carries out the orders of rollouts on this device. */
export interface Installer {
  /** To be supervised; goes on wherever it, or a process before this one, was interrupted. */
  readonly run: Loop;
  /** The desired document or the keyring is another. */
  changed(): void;
  /** How far the newest order of each kind is, or how it ended. */
  report(): NonNullable<Reported['install']>;
}

/** Makes the installer; starts nothing. Families and programs are installed side by side. */
export function createInstaller(deps: InstallerDeps): Installer {
  const { journal, blobs, keyring, orders, clock, log, onChanged } = deps;
  const turns = createTurns();
  const lanes: Lane[] = [];
  const collect = (keep: Iterable<string>, signal?: AbortSignal): Promise<void> =>
    turns.exclusive(async () => {
      const all = new Set([...keep, ...lanes.flatMap((lane) => [...lane.blobs()]), ...keptBlobs(journal)]);
      const { bytes } = await blobs.collect(all);
      if (bytes > 0) log.info({ bytes }, 'blobs that nothing needs were removed');
    }, signal);
  const makeRoom: ReleaseDeps['makeRoom'] = async (keep, { isShort, signal }) => {
    if (isShort || !turns.isBusy()) await collect(keep, signal);
  };
  const parts: ReleaseDeps = { ...deps, exclusive: turns.exclusive, makeRoom };
  // What the other kind fetches may take hours, and the next order of this one must not wait for that.
  const collectBlobs = async (): Promise<void> => {
    if (!turns.isBusy()) await collect([]);
  };
  const laneOf = (trade: Trade): Lane => {
    const { kind } = trade;
    const lane = createLane({
      trade,
      journal,
      clock,
      log,
      keyring,
      onChanged,
      wanted: () => orders()[kind],
      freeBytes: () => blobs.freeBytes(),
      tell: (report) => {
        deps.event(eventOf(kind, report));
        onChanged();
      },
    });
    lanes.push(lane);
    return lane;
  };
  const { programs, isProven } = deps;
  const family = laneOf(createFamilyTrade({ ...deps, ...parts, collectBlobs }));
  const program = laneOf(createProgramTrade({ ...parts, programs, isProven, collectBlobs }));
  return {
    run: (signal) => runAll([family.run, program.run], signal),
    changed: () => {
      for (const lane of lanes) lane.changed();
    },
    report: () => given({ family: family.report(), program: program.report() }),
  };
}

/** When one ends in a fault all of them end, to be started again together. */
async function runAll(loops: readonly Loop[], signal: AbortSignal): Promise<void> {
  const fault = new AbortController();
  const stop = AbortSignal.any([signal, fault.signal]);
  const ends = await Promise.allSettled(
    loops.map(async (loop) => {
      try {
        await loop(stop);
      } catch (error) {
        fault.abort(error);
        throw error;
      }
    }),
  );
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Lets work be done one after the other; who gives up leaves the queue. */
function createTurns(): { readonly exclusive: ReleaseDeps['exclusive']; readonly isBusy: () => boolean } {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  const exclusive: ReleaseDeps['exclusive'] = async (work, signal) => {
    const before = last;
    const done = Promise.withResolvers<void>();
    last = before.then(() => done.promise);
    waiting += 1;
    try {
      await untilAborted(before, signal);
      return await work();
    } finally {
      waiting -= 1;
      done.resolve();
    }
  };
  return { exclusive, isBusy: () => waiting > 0 };
}

async function untilAborted(waited: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return void (await waited);
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([waited, aborted.promise]);
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function keptBlobs(journal: InstallJournal): string[] {
  return (['family', 'program'] as const).flatMap((kind) => {
    const { committed, before, candidate } = journal.holdings(kind);
    return [committed, before, candidate].flatMap((installed) => installed?.blobs ?? []);
  });
}

function eventOf(kind: ReleaseKind, report: InstallReport): EventBody {
  const { rollout, deed, name, version, state, step, reason } = report;
  return { kind: 'install', what: kind, rollout, deed, name, version, state, step, ...given({ reason }) };
}
