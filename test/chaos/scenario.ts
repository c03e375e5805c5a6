import type { Random } from '../../shared/random.ts';
import type { KillFleet } from '../support/kill-fleet.ts';
import { type Account, account } from './account.ts';

/** What a scenario works with. */
export interface Stage {
  readonly random: Random;
  /** Kills of the scenario that kills. */
  readonly kills: number;
  /** Tells people what is done. */
  readonly did: (what: string) => void;
}

/** What a scenario found. */
export interface Finding {
  readonly figures: Readonly<Record<string, number | string>>;
  /** What does not hold, a line each. */
  readonly problems: readonly string[];
  /** Why it could not be tried on this machine. */
  readonly skipped?: string;
}

export interface Scenario {
  readonly summary: string;
  readonly run: (stage: Stage) => Promise<Finding>;
}

/** The account of a fleet that was stopped, with what else was found. */
export function findingOf(
  fleet: KillFleet,
  figures: Finding['figures'] = {},
  problems: readonly string[] = [],
): Finding {
  const { problems: ofAccount, ...counts }: Account = account(fleet.controllerDir, fleet.agentDirs);
  return { figures: { ...figures, ...counts }, problems: [...problems, ...ofAccount] };
}

/** The problem as a list, where what was expected is not so. */
export function unless(isSo: boolean, problem: string): string[] {
  return isSo ? [] : [problem];
}

/** A whole number of milliseconds below `maxMs`. */
export function delayMs(random: Random, maxMs: number): number {
  return random.below(maxMs);
}
