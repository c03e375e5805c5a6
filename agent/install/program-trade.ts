import type { Clock } from '../../shared/clock.ts';
import type { ProgramHost } from '../slots/program-host.ts';
import type { Installed, InstallJournal } from '../store/install-journal.ts';
import { Refused } from './attempt.ts';
import type { Trade } from './carry-out.ts';
import { createProgramAttempt } from './program-attempt.ts';
import type { ReleaseDeps } from './release.ts';

export interface ProgramTradeDeps extends ReleaseDeps {
  /** Absent where no launcher started this agent. */
  readonly programs: ProgramHost | undefined;
  /** Whether this process has reached the controller and answered frames. */
  readonly isProven: () => boolean;
  /** Removes blobs that nothing needs, of whichever kind. */
  readonly collectBlobs: () => Promise<void>;
}

/** The launcher takes a commit when it has heard that the agent is ready, which may be a moment later. */
const COMMIT_TRIES = 5;
const COMMIT_PAUSE_MS = 1_000;

const BY_HAND: Installed = { sha256: null, blobs: [] };

/** How orders of the agent's own program are carried out. */
export function createProgramTrade(deps: ProgramTradeDeps): Trade {
  const { programs, journal, isProven, clock } = deps;
  if (programs !== undefined) noteReplaced(programs, journal);
  const verdict = programs?.takeVerdict();
  return {
    kind: 'program',
    running: () => programs?.running ?? null,
    factory: () => BY_HAND,
    begin: (order, goal, onProgress) => {
      if (programs === undefined) throw new Refused('this agent was not started by ofa-agent launch');
      return createProgramAttempt(order, goal, { ...deps, programs, onProgress });
    },
    isProven,
    lostReason: (candidate) =>
      verdict !== undefined && (verdict.sha256 ?? null) === candidate
        ? `the launcher gave it up: ${verdict.reason}`
        : 'the program on trial does not run any more; what was committed before does',
    beforeCommit: async (signal) => {
      if (programs !== undefined) await commit(programs, clock, signal);
    },
    restore: async ({ sha256 }, signal) => {
      await programs?.switchTo(sha256 ?? undefined, { soakMs: 0, signal });
    },
    collect: async () => {
      const { committed, before, candidate } = journal.holdings('program');
      const kept = [committed, before, candidate].flatMap((installed) => installed?.sha256 ?? []);
      await programs?.collect(new Set(kept));
      await deps.collectBlobs();
    },
  };
}

async function commit(programs: ProgramHost, clock: Clock, signal: AbortSignal): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await programs.commit();
    } catch (error) {
      if (tries === COMMIT_TRIES) throw error;
      await clock.sleep(COMMIT_PAUSE_MS, signal);
    }
  }
}

/** Somebody installed another program by hand, or the launcher had to take another one, while no order was open. */
function noteReplaced(programs: ProgramHost, journal: InstallJournal): void {
  const running = programs.running ?? null;
  const { committed, before } = journal.holdings('program');
  if (committed === undefined || committed.sha256 === running || journal.open('program') !== undefined)
    return;
  const now = before?.sha256 === running ? before : { sha256: running, blobs: [] };
  journal.write('program', { holdings: { committed: now } });
}
