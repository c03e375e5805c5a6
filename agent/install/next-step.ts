import type { InstallStep, Order, ReleaseKind } from '../../shared/protocol/release.ts';

/** What of an order has been done in this process; a process that starts does it again from what is on the disk. */
export type Done = 'nothing' | 'fetched' | 'staged' | 'profiled' | 'compared';

/** What the next step is decided by. */
export interface InstallFacts {
  readonly kind: ReleaseKind;
  readonly deed: Order['deed'];
  readonly done: Done;
  /** What runs: SHA-256, or null for the program that was installed by hand. */
  readonly running: string | null;
  /** What the journal says is committed. */
  readonly committed?: string | null | undefined;
  /** What the journal says is on trial for this order; absent: nothing. */
  readonly candidate?: string | null | undefined;
  /** What the order leads to, once that is known. */
  readonly target?: string | null | undefined;
  /** Time on trial that is left, milliseconds. */
  readonly soakLeftMs: number;
  /** Whether what is on trial has shown that it works at all. */
  readonly isProven: boolean;
}

/**
 * The step to take next; `lost`: what the journal says is on trial does not run, so the trial has failed. A step
 * that was begun before the process ended is not remembered: all that counts is what lies on the disk, and what runs.
 */
export function nextStep(facts: InstallFacts): InstallStep | 'lost' {
  const { candidate, running } = facts;
  if (candidate !== undefined) return candidate === running ? trialStep(facts) : 'lost';
  return isThereAlready(facts) ? 'committed' : preparingStep(facts);
}

/**
 * What is wanted runs already, whatever brought it. A family that only still serves because what was committed could
 * not be brought back has not passed its trial.
 */
function isThereAlready({ kind, deed, target, running, committed }: InstallFacts): boolean {
  if (target === undefined || target !== running) return false;
  return kind === 'program' || deed === 'revert' || committed === running;
}

function trialStep({ soakLeftMs, isProven }: InstallFacts): InstallStep {
  return soakLeftMs <= 0 && isProven ? 'committed' : 'soaking';
}

function preparingStep({ kind, deed, done }: InstallFacts): InstallStep {
  switch (done) {
    case 'nothing':
      return deed === 'install' ? 'fetching' : 'staging';
    case 'fetched':
      return 'staging';
    case 'staged':
      return kind === 'family' ? 'profiling' : 'activating';
    case 'profiled':
      return deed === 'install' ? 'comparing' : 'activating';
    case 'compared':
      return 'activating';
  }
}
