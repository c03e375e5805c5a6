import type { Holdings, Installed, OrderRecord } from './install-journal.ts';

/** How often the agent may die of what an order does; the next time it is given up. */
export const MAX_DEATHS = 2;

/** What the journal says of families when the agent starts. */
export interface BootRows {
  readonly holdings: Holdings;
  /** The order that is in progress. */
  readonly record?: OrderRecord | undefined;
}

export interface BootDecision {
  /** The family to serve; undefined: none was ever committed. */
  readonly serve: Installed | undefined;
  /** What the journal has to say before anything is loaded; undefined: what it says already. */
  readonly write?: { readonly record: OrderRecord; readonly holdings: Holdings };
  /** Why the candidate is not served any more. */
  readonly rolledBack?: string;
}

/**
 * Decides what is served after a start. A process that ended while something was on trial, and not because it was
 * told to, has died of it; a power cut counts too, as nothing tells them apart. After more than `MAX_DEATHS` the
 * candidate is given up, and what was committed before serves again.
 * @param now milliseconds since the epoch
 */
export function bootDecision({ holdings, record }: BootRows, now: number): BootDecision {
  const { candidate, committed } = holdings;
  if (record?.state !== 'in-progress') return { serve: committed };
  const deaths = record.deaths + (record.onTrial ? 1 : 0);
  if (deaths > MAX_DEATHS)
    return givenUp({ holdings, record: { ...record, deaths } }, now, deathReason(deaths));
  const onTrial = candidate !== undefined;
  if (!onTrial && !record.onTrial) return { serve: committed };
  return {
    serve: candidate ?? committed,
    write: { record: { ...record, deaths, onTrial }, holdings },
  };
}

/** The decision to give up the order that is in progress, and its candidate. */
export function givenUp(
  { holdings, record }: { readonly holdings: Holdings; readonly record: OrderRecord },
  now: number,
  reason: string,
): Required<BootDecision> {
  const { candidate: _, ...kept } = holdings;
  return {
    serve: kept.committed,
    rolledBack: reason,
    write: {
      record: { ...record, state: 'failed', reason, ts: now, onTrial: false, told: false },
      holdings: kept,
    },
  };
}

function deathReason(deaths: number): string {
  return `the agent died ${deaths} times while it was on trial; what was committed before runs again`;
}
