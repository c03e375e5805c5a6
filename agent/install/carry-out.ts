import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import { given } from '../../shared/given.ts';
import type { Logger } from '../../shared/log.ts';
import type { InstallStep, Order, ReleaseKind } from '../../shared/protocol/release.ts';
import type { Holdings, Installed, InstallJournal, OrderRecord } from '../store/install-journal.ts';
import type { Attempt, Progress } from './attempt.ts';
import { nextStep } from './next-step.ts';
import { ended, entered, holdingsAfter, soakMsOf } from './records.ts';
import type { Scribe } from './scribe.ts';

/** What is particular to families, or to programs. */
export interface Trade {
  readonly kind: ReleaseKind;
  /** What runs: SHA-256, or null for the program that was installed by hand. */
  running(): string | null;
  /** What there was before the first release. */
  factory(): Installed | undefined;
  /**
   * @param goal of an order to go back: what to
   * @throws Refused when orders of this kind cannot be carried out here at all
   */
  begin(order: Order, goal: Installed | undefined, onProgress: (progress: Progress) => void): Attempt;
  /** Whether what is on trial has shown that it works at all. */
  isProven(): boolean;
  /** Why what the journal says is on trial does not run. */
  lostReason(candidate: string | null): string;
  /** What is on trial has passed, and is about to be written down as committed. */
  beforeCommit(signal: AbortSignal): Promise<void>;
  /** Lets run again what was committed before. @throws AppError when that is not possible now */
  restore(installed: Installed, signal: AbortSignal): Promise<void>;
  /** Removes what is not needed any more. */
  collect(): Promise<void>;
}

export interface CarryOutDeps {
  readonly trade: Trade;
  readonly journal: InstallJournal;
  readonly scribe: Scribe;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A soak is noted so often at most: flash wears. */
const SOAK_NOTES = 20;
const MIN_SOAK_NOTE_MS = 1_000;
/** How often something that has soaked is asked whether it works. */
const PROOF_POLL_MS = 1_000;

/** What the device holds; without a release that is what there was before the first. */
export function holdingsOf({ journal, trade }: Pick<CarryOutDeps, 'journal' | 'trade'>): Holdings {
  const holdings = journal.holdings(trade.kind);
  return { ...given({ committed: trade.factory() }), ...holdings };
}

/**
 * Carries out an order to its end, step by step, from wherever it is.
 * @throws what ends it otherwise: Refused, AppError, the signal's reason
 */
export async function carryOut(
  begun: OrderRecord,
  attempt: Attempt,
  deps: CarryOutDeps,
  signal: AbortSignal,
): Promise<void> {
  const { trade, scribe, clock } = deps;
  let record = begun;
  for (;;) {
    signal.throwIfAborted();
    const { candidate, committed } = holdingsOf(deps);
    const step = nextStep({
      kind: trade.kind,
      deed: record.order.deed,
      done: attempt.done,
      running: trade.running(),
      committed: committed?.sha256,
      candidate: candidate?.sha256,
      target: attempt.target?.sha256,
      soakLeftMs: soakMsOf(record.order) - record.soakedMs,
      isProven: trade.isProven(),
    });
    if (step === 'lost') throw new AppError('invalid', trade.lostReason(candidate?.sha256 ?? null));
    if (step === 'committed') {
      return await commit(record, candidate ?? attempt.target, deps, signal);
    }
    const next = entered(record, step, { kind: trade.kind, ts: clock.now() });
    if (isNews(next, record)) scribe.write(next);
    record = await take(step, { ...next, told: true }, attempt, deps, signal);
  }
}

/** What does not change is not written again: each time goes to the disk. */
function isNews(next: OrderRecord, before: OrderRecord): boolean {
  const { step, onTrial, activatedTs } = before;
  return !before.told || next.step !== step || next.onTrial !== onTrial || next.activatedTs !== activatedTs;
}

/** Does one step; returns the record with what it has brought. */
async function take(
  step: Exclude<InstallStep, 'committed'>,
  record: OrderRecord,
  attempt: Attempt,
  deps: CarryOutDeps,
  signal: AbortSignal,
): Promise<OrderRecord> {
  switch (step) {
    case 'fetching':
      await attempt.fetch(signal);
      return record;
    case 'staging':
      await attempt.stage(signal);
      return record;
    case 'profiling':
      return { ...record, ...given({ profile: await attempt.profile(signal) }) };
    case 'comparing':
      return { ...record, ...given({ agreement: await attempt.compare(signal) }) };
    case 'activating':
      await activate(record, attempt, deps, signal);
      return record;
    case 'soaking':
      return await soak(record, deps, signal);
  }
}

/**
 * The journal goes first: should the process die of what it begins to run, the next one knows whom to blame, and a
 * program finds out that it is the one on trial.
 */
async function activate(
  record: OrderRecord,
  attempt: Attempt,
  deps: CarryOutDeps,
  signal: AbortSignal,
): Promise<void> {
  const { target } = attempt;
  if (target === undefined) throw new Error('invariant broken: what is activated is known');
  deps.scribe.write(record, { holdings: { ...holdingsOf(deps), candidate: target } });
  await attempt.activate(signal);
}

async function soak(record: OrderRecord, deps: CarryOutDeps, signal: AbortSignal): Promise<OrderRecord> {
  const { clock, scribe, trade } = deps;
  const { order } = record;
  const leftMs = soakMsOf(order) - record.soakedMs;
  const noteMs = Math.max(MIN_SOAK_NOTE_MS, soakMsOf(order) / SOAK_NOTES);
  const startedMs = clock.monoMs();
  const soaked = (): OrderRecord => ({ ...record, soakedMs: record.soakedMs + clock.monoMs() - startedMs });
  try {
    await clock.sleep(leftMs > 0 ? Math.min(leftMs, noteMs) : PROOF_POLL_MS, signal);
  } catch (error) {
    scribe.write(soaked());
    throw error;
  }
  // A proof may be waited for long, and often: it is noted only how long that was.
  if (leftMs > 0) scribe.write(soaked());
  const lateMs = soaked().soakedMs - soakMsOf(order);
  if (lateMs > order.stepTimeoutMs && !trade.isProven()) {
    throw new AppError(
      'timeout',
      `it ran for ${Math.round(soaked().soakedMs / 1_000)} s and has not reached the controller and answered frames`,
    );
  }
  return soaked();
}

async function commit(
  record: OrderRecord,
  installed: Installed | undefined,
  deps: CarryOutDeps,
  signal: AbortSignal,
): Promise<void> {
  if (installed === undefined) throw new Error('invariant broken: what is committed is known');
  const { trade, scribe, clock, log } = deps;
  const { deed, release } = record.order;
  await trade.beforeCommit(signal);
  const now = clock.now();
  const done = ended({ ...record, step: 'committed' }, { state: 'succeeded' }, now);
  scribe.write(
    { ...done, activatedTs: record.activatedTs ?? now },
    {
      holdings: holdingsAfter(deed, installed, holdingsOf(deps)),
      ...(deed === 'install'
        ? { floor: { name: release.name, version: release.version, sha256: release.manifest.sha256 } }
        : {}),
    },
  );
  log.info(
    { rollout: record.order.rollout, release: release.name, version: release.version, deed },
    'committed',
  );
}
