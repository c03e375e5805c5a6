import { AppError, describeError, isSystemError } from '../../shared/errors.ts';
import { given } from '../../shared/given.ts';
import type { InstallReport, InstallStep, Order, ReleaseKind } from '../../shared/protocol/release.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import type { Holdings, Installed, OrderRecord, Retry } from '../store/install-journal.ts';
import { Refused } from './attempt.ts';

/** What a report has room for. */
export const MAX_REASON = 1_000;
/** After a disk was full so much more has to be free before it is tried again. */
const GROWTH_BYTES = 32 * 2 ** 20;
/** Steps in which a family can take the process with it; cutting models alone may take all memory. */
const TRIAL_STEPS: readonly InstallStep[] = ['staging', 'profiling', 'comparing', 'activating', 'soaking'];

/** An order that is begun. @param ts milliseconds since the epoch */
export function newRecord(order: Order, ts: number): OrderRecord {
  return {
    order,
    state: 'in-progress',
    step: order.deed === 'install' ? 'fetching' : 'staging',
    ts,
    soakedMs: 0,
    deaths: 0,
    onTrial: false,
    told: false,
  };
}

/** An order that comes to a step, or begins it anew. */
export function entered(
  record: OrderRecord,
  step: InstallStep,
  { kind, ts }: { readonly kind: ReleaseKind; readonly ts: number },
): OrderRecord {
  // Of programs the launcher counts the deaths.
  const onTrial = kind === 'family' && TRIAL_STEPS.includes(step);
  const activatedTs = step === 'soaking' ? (record.activatedTs ?? ts) : record.activatedTs;
  const since = step === record.step ? record.ts : ts;
  return { ...record, ...given({ activatedTs }), step, ts: since, onTrial };
}

/** How an order ended, and why. */
export interface Ending {
  readonly state: Exclude<OrderRecord['state'], 'in-progress'>;
  readonly reason?: string;
  readonly retry?: Retry | undefined;
}

/** An order that has ended. */
export function ended(record: OrderRecord, { state, reason, retry }: Ending, ts: number): OrderRecord {
  const { reason: _, retry: __, ...rest } = record;
  return { ...rest, ...given({ reason, retry }), state, ts, onTrial: false };
}

/** How an order ends that `error` has ended. */
export function endingOf(error: unknown, freeBytes: number): Ending {
  const reason = describeError(error).slice(0, MAX_REASON);
  if (error instanceof Refused) return { state: 'rejected', reason, retry: error.retry };
  if (!isNoSpace(error)) return { state: 'failed', reason };
  return {
    state: 'failed',
    reason,
    retry: { when: 'space', freeBytes, needBytes: freeBytes + GROWTH_BYTES },
  };
}

function isNoSpace(error: unknown): boolean {
  if (isSystemError(error, 'ENOSPC') || isSystemError(error, 'EDQUOT')) return true;
  if (!(error instanceof Error)) return false;
  const isSaid = error instanceof AppError && error.code === 'system' && /no space/i.test(error.message);
  return isSaid || isNoSpace(error.cause);
}

/** Whether what an order waited for has happened: a disk that is as full as before is not filled again. */
export function isRetryDue(
  { retry }: OrderRecord,
  { freeBytes, keyring }: { readonly freeBytes: number; readonly keyring: Keyring | undefined },
): boolean {
  if (retry === undefined) return false;
  if (retry.when === 'keyring') return (keyring?.version ?? 0) > retry.version;
  return freeBytes > retry.freeBytes && freeBytes >= retry.needBytes;
}

/**
 * What an order to go back leads to; `nothing` when the release that it names is not what is committed. Of an
 * order to install it is not known yet.
 */
export function goalOf(
  { deed, release }: Order,
  { committed, before }: Holdings,
  factory: Installed | undefined,
): Installed | undefined | 'nothing' {
  if (deed === 'install') return undefined;
  if (committed?.release?.manifest !== release.manifest.sha256) return 'nothing';
  return before ?? factory;
}

/** What a device holds when something has been committed. */
export function holdingsAfter(
  deed: Order['deed'],
  installed: Installed,
  { committed, before }: Holdings,
): Holdings {
  if (deed === 'revert') return { committed: installed };
  const wayBack = committed?.sha256 === installed.sha256 ? before : committed;
  return { committed: installed, ...given({ before: wayBack }) };
}

/** How long an order has something on trial; what was committed before needs none. */
export function soakMsOf({ deed, soakMs }: Order): number {
  return deed === 'install' ? soakMs : 0;
}

/** What the controller is told of an order. */
export function reportOf(record: OrderRecord): InstallReport {
  const { order, state, step, ts, deaths, agreement, profile, activatedTs, reason } = record;
  const { name, version } = order.release;
  return {
    rollout: order.rollout,
    deed: order.deed,
    name,
    version,
    state,
    step,
    ...given({ agreement, profile, activatedTs, reason, crashes: deaths > 0 ? deaths : undefined }),
    ts,
  };
}
