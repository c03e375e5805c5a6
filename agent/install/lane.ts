import type { Loop } from '../../shared/backoff.ts';
import { AppError, describeError } from '../../shared/errors.ts';
import type { InstallReport, Order } from '../../shared/protocol/release.ts';
import type { Keyring } from '../../shared/release/keyring.ts';
import { createWakeable, type Wakeable } from '../../shared/wake.ts';
import { type Installed, type OrderRecord, pauseTrial } from '../store/install-journal.ts';
import type { Attempt, Progress } from './attempt.ts';
import { type CarryOutDeps, carryOut, holdingsOf } from './carry-out.ts';
import { isSameOrder, readOrder, unreadableReport, type Wanted } from './orders.ts';
import { ended, endingOf, goalOf, isRetryDue, MAX_REASON, newRecord } from './records.ts';
import { isRevoked } from './release.ts';
import { createScribe, type Scribe } from './scribe.ts';

export interface LaneDeps extends Omit<CarryOutDeps, 'scribe'> {
  /** The order of this kind as it stands in the desired document. */
  readonly wanted: () => unknown;
  readonly keyring: () => Keyring | undefined;
  readonly freeBytes: () => Promise<number>;
  /** Tells the controller that a state or a step is another. */
  readonly tell: (report: InstallReport) => void;
  /** What is reported has changed. */
  readonly onChanged: () => void;
}

/** Carries out the orders of one kind, one at a time. */
export interface Lane {
  readonly run: Loop;
  changed(): void;
  report(): InstallReport | undefined;
  /** Blobs that the order needs which is in progress. */
  blobs(): Iterable<string>;
}

/** How often the disk is looked at for a retry. */
const RETRY_POLL_MS = 60_000;
/** Nothing is due: somebody says so when something has changed. */
const IDLE_MS = 86_400_000;
const PROGRESS_MS = 1_000;
const RESTORE_TRIES = 3;
const RESTORE_PAUSE_MS = 5_000;

/** Makes the lane of a kind; starts nothing. */
export function createLane(deps: LaneDeps): Lane {
  return new OrderLane(deps);
}

interface InProgress {
  readonly order: Order;
  readonly cancel: AbortController;
  attempt?: Attempt;
}

class OrderLane implements Lane {
  readonly #deps: LaneDeps;
  readonly #scribe: Scribe;
  readonly #wake: Wakeable;
  #progress: Progress | undefined;
  #progressMs = Number.NEGATIVE_INFINITY;
  #current: InProgress | undefined;
  /** What was no order, as it was told last. */
  #unreadable: string | undefined;

  constructor(deps: LaneDeps) {
    this.#deps = deps;
    this.#wake = createWakeable(deps.clock);
    this.#scribe = createScribe({ kind: deps.trade.kind, journal: deps.journal, tell: deps.tell });
  }

  readonly run: Loop = async (signal) => {
    try {
      this.#scribe.tellUntold();
      while (!signal.aborted) {
        const isWaiting = await this.#turn(signal);
        await this.#wake.sleep(isWaiting ? RETRY_POLL_MS : IDLE_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#pause();
    }
  };

  changed(): void {
    const { cancel, order } = this.#current ?? {};
    const reason =
      order === undefined ? undefined : this.#cancelReason(order, readOrder(this.#deps.wanted()));
    if (reason !== undefined) cancel?.abort(new AppError('aborted', reason));
    this.#wake.wake();
  }

  report(): InstallReport | undefined {
    const report = this.#scribe.report();
    return report === undefined ? undefined : { ...report, ...this.#progress };
  }

  blobs(): Iterable<string> {
    return this.#current?.attempt?.blobs ?? [];
  }

  /** Why an order must end, whatever it is doing. */
  #cancelReason(order: Order, wanted: Wanted): string | undefined {
    if (order.deed === 'install' && isRevoked(order, this.#deps.keyring())) {
      return `the key ${order.release.signature.keyId} that signed it was revoked`;
    }
    if (wanted.kind !== 'order') return 'cancelled: the controller has withdrawn the order';
    if (isSameOrder(order, wanted.order)) return undefined;
    return `cancelled: rollout ${wanted.order.rollout} gave another order`;
  }

  #isStillWanted(order: Order): boolean {
    const wanted = readOrder(this.#deps.wanted());
    return wanted.kind === 'order' && isSameOrder(wanted.order, order);
  }

  /** Does what there is to do now; whether it has to be looked at again although nothing is said. */
  async #turn(signal: AbortSignal): Promise<boolean> {
    const { journal, trade, clock } = this.#deps;
    const { kind } = trade;
    const wanted = readOrder(this.#deps.wanted());
    const open = journal.open(kind);
    const over = open === undefined ? undefined : this.#cancelReason(open.order, wanted);
    if (open === undefined) this.#dropOrphan();
    else if (over !== undefined) await this.#end(open, new AppError('aborted', over), signal);
    if (wanted.kind === 'unreadable') this.#refuseUnreadable(wanted);
    if (wanted.kind !== 'order') return false;
    const known = journal.find(kind, wanted.order);
    if (known === undefined || known.state === 'in-progress') {
      await this.#carryOut(known ?? newRecord(wanted.order, clock.now()), signal);
    } else if (await this.#isRetryDue(known)) {
      await this.#carryOut(newRecord(known.order, clock.now()), signal);
    } else {
      this.#recall(known);
    }
    return journal.find(kind, wanted.order)?.retry !== undefined;
  }

  /** Of an order whose record this version cannot read: the next order has another candidate. One that runs soaks on. */
  #dropOrphan(): void {
    const { journal, trade } = this.#deps;
    const { candidate, ...holdings } = journal.holdings(trade.kind);
    const isOrphan = candidate !== undefined && candidate.sha256 !== trade.running();
    if (isOrphan) journal.write(trade.kind, { holdings });
  }

  #recall(known: OrderRecord): void {
    const report = this.#scribe.report();
    if (report !== undefined && isSameOrder(report, known.order) && report.state === known.state) return;
    this.#scribe.recall(known);
    this.#deps.onChanged();
  }

  async #isRetryDue(record: OrderRecord): Promise<boolean> {
    if (record.retry === undefined) return false;
    const freeBytes = await this.#deps.freeBytes();
    return isRetryDue(record, { freeBytes, keyring: this.#deps.keyring() });
  }

  async #carryOut(begun: OrderRecord, stop: AbortSignal): Promise<void> {
    const { trade, clock } = this.#deps;
    const { order } = begun;
    const cancel = new AbortController();
    const current: InProgress = { order, cancel };
    // Something was waited for since it was read; whoever changed it has woken us, for another turn.
    if (!this.#isStillWanted(order)) return;
    this.#current = current;
    try {
      const goal = goalOf(order, holdingsOf(this.#deps), trade.factory());
      if (goal === 'nothing') {
        const reason = `${order.release.name} ${order.release.version} is not committed here: nothing to go back from`;
        return this.#scribe.write(ended(begun, { state: 'succeeded', reason }, clock.now()));
      }
      await using attempt = trade.begin(order, goal, (progress) => this.#onProgress(progress));
      current.attempt = attempt;
      const deps = { ...this.#deps, scribe: this.#scribe };
      await carryOut(begun, attempt, deps, AbortSignal.any([stop, cancel.signal]));
      this.#current = undefined;
      await this.#collect();
    } catch (error) {
      // The agent stops: the next process goes on.
      if (stop.aborted) throw error;
      const record = this.#deps.journal.find(trade.kind, order) ?? begun;
      await this.#end(record, cancel.signal.aborted ? cancel.signal.reason : error, stop);
    } finally {
      this.#current = undefined;
      this.#progress = undefined;
    }
  }

  /** Ends an order that was not carried out: what ran before runs again, then it is told. */
  async #end(record: OrderRecord, error: unknown, signal: AbortSignal): Promise<void> {
    const { trade, clock, log } = this.#deps;
    if (!(error instanceof AppError)) log.error({ err: error }, 'an install failed unexpectedly');
    const { candidate, ...kept } = holdingsOf(this.#deps);
    const end = ended(record, endingOf(error, await this.#deps.freeBytes()), clock.now());
    this.#scribe.writeUntold(end, { holdings: kept });
    log.warn({ rollout: record.order.rollout, step: record.step }, `install: ${end.reason}`);
    const isRunning = candidate !== undefined && candidate.sha256 === trade.running();
    if (isRunning && kept.committed !== undefined && kept.committed.sha256 !== candidate.sha256) {
      const problem = await this.#restore(kept.committed, signal);
      const reason = `it serves until the next start, as what was committed cannot be run: ${problem}; ${end.reason}`;
      if (problem !== undefined)
        this.#scribe.writeUntold({ ...end, reason: reason.slice(0, MAX_REASON) }, {});
    }
    this.#scribe.tellUntold();
  }

  /** @returns why what was committed before does not run again */
  async #restore(committed: Installed, signal: AbortSignal): Promise<string | undefined> {
    const { trade, clock, log } = this.#deps;
    for (let tries = 1; ; tries += 1) {
      signal.throwIfAborted();
      try {
        await trade.restore(committed, signal);
        return undefined;
      } catch (error) {
        signal.throwIfAborted();
        const isLast = tries === RESTORE_TRIES;
        const next = isLast ? 'it comes back with the next start' : 'it is tried again';
        log.error(`what was committed before cannot be run: ${describeError(error)}; ${next}`);
        if (isLast) return describeError(error);
        await clock.sleep(RESTORE_PAUSE_MS, signal);
      }
    }
  }

  async #collect(): Promise<void> {
    try {
      await this.#deps.trade.collect();
    } catch (error) {
      this.#deps.log.warn(`what is not needed any more could not be removed: ${describeError(error)}`);
    }
  }

  #refuseUnreadable({ reason, named }: Extract<Wanted, { kind: 'unreadable' }>): void {
    const { clock, log } = this.#deps;
    const key = JSON.stringify([named, reason]);
    if (key === this.#unreadable) return;
    this.#unreadable = key;
    log.warn(`an order is ignored: ${reason}`);
    if (named !== undefined)
      this.#scribe.show(unreadableReport(named, reason.slice(0, MAX_REASON), clock.now()));
  }

  #onProgress(progress: Progress): void {
    const nowMs = this.#deps.clock.monoMs();
    this.#progress = { bytes: progress.bytes, ofBytes: progress.ofBytes };
    if (nowMs - this.#progressMs < PROGRESS_MS) return;
    this.#progressMs = nowMs;
    this.#deps.onChanged();
  }

  /** The process ends because it was told to, or the loop is started again: nobody has died. */
  #pause(): void {
    pauseTrial(this.#deps.journal, this.#deps.trade.kind);
  }
}
