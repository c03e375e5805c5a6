import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Measurement, RolloutStore, StoredRollout } from '../store/rollout-store.ts';
import { advance, type RolloutDocument } from './advance.ts';
import type { DeviceFacts, Facts } from './facts.ts';
import { type Askers, askersOf, type HeldBlob, isWorthWaiting } from './gathering.ts';
import { createMaintenanceClock, type MaintenanceClock } from './maintenance.ts';
import { type MeasureDeps, measureGates } from './measure.ts';
import type { ReleaseSource } from './start.ts';
import type { Orders } from './world.ts';

/** The rollout's clock is stored at least this often: so much of a timeout starts anew after a kill. */
const STORE_CLOCK_MS = 30_000;
/** A process that stood still, or slept with its machine, watched nothing. */
const LONGEST_STEP_MS = 30_000;
const MEASURE_EVERY_MS = 5_000;
/** A measurement may take this part of the time at most. */
const MEASURE_SHARE = 0.1;

export interface ActiveDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: { readonly rollouts: RolloutStore };
  readonly releases: ReleaseSource;
  readonly orders: Orders;
  readonly query: MeasureDeps['query'];
  readonly measureEveryMs?: number;
}

/** A rollout that is not over, in memory as it is stored. */
export interface Active {
  readonly document: RolloutDocument;
  readonly maintenance: MaintenanceClock | undefined;
  /** Takes what is stored already. */
  replace(document: RolloutDocument): void;
  /** Monotonic time since the last call; 0 at first. */
  elapsedMs(): number;
  /** Advances it, stores that, then gives its orders. Returns whether the same again would lead further. */
  advance(facts: Facts): boolean;
  /** Measures its gates in the background when it is time for that. */
  measureIfDue(work: { readonly facts: () => Pick<Facts, 'of'>; readonly onMeasured: () => void }): void;
  measured(): Measurement | undefined;
  /** Whether devices that have not asked for it yet will ask for a blob so soon that it may wait for them. */
  expects(blob: HeldBlob): boolean;
  /** Resolves when nothing of it goes on in the background. */
  settled(): Promise<void>;
}

export function createActive(document: RolloutDocument, deps: ActiveDeps): Active {
  return new ActiveRollout(document, deps);
}

class ActiveRollout implements Active {
  readonly maintenance: MaintenanceClock | undefined;
  readonly #deps: ActiveDeps;
  readonly #blobs: ReadonlySet<string>;
  #document: RolloutDocument;
  #seenMonoMs: number | undefined;
  #storedMs: number;
  #facts: Facts | undefined;
  /** Of those facts; made when somebody asks. */
  #askers: Askers | undefined;
  #measurement: Measurement | undefined;
  #measuring: Promise<void> | undefined;
  #nextMeasureMs = 0;

  constructor(document: RolloutDocument, deps: ActiveDeps) {
    const { plan, watchedMs } = document.rollout;
    this.#deps = deps;
    this.#document = document;
    this.#storedMs = watchedMs;
    this.#blobs = blobsOf(plan, deps.releases);
    this.maintenance = plan.maintenance === undefined ? undefined : createMaintenanceClock(plan.maintenance);
  }

  get document(): RolloutDocument {
    return this.#document;
  }

  replace(document: RolloutDocument): void {
    this.#document = document;
    this.#storedMs = document.rollout.watchedMs;
  }

  elapsedMs(): number {
    const monoMs = this.#deps.clock.monoMs();
    const elapsedMs = monoMs - (this.#seenMonoMs ?? monoMs);
    this.#seenMonoMs = monoMs;
    return Math.min(elapsedMs, LONGEST_STEP_MS);
  }

  advance(facts: Facts): boolean {
    const { store, orders: given } = this.#deps;
    const before = this.#document;
    const { rollout, devices, changed, orders, isMoving } = advance(before, facts);
    const isNews = isMoving || rollout.measured !== before.rollout.measured;
    if (isNews || rollout.watchedMs - this.#storedMs >= STORE_CLOCK_MS) {
      store.rollouts.save(rollout, changed);
      this.#storedMs = rollout.watchedMs;
    }
    this.#document = { rollout, devices };
    // A stage that is over waits for nothing but this.
    if (rollout.settledMs !== before.rollout.settledMs) this.#nextMeasureMs = 0;
    this.#facts = facts;
    this.#askers = undefined;
    this.#tell(before.rollout, rollout);
    // After it is stored: an order that is lost here is given by the next advance, which misses it.
    if (orders.size > 0) given.give(rollout.plan.kind, orders);
    return isMoving;
  }

  measureIfDue({ facts, onMeasured }: Parameters<Active['measureIfDue']>[0]): void {
    const { clock } = this.#deps;
    const { rollout } = this.#document;
    const isWanted = (rollout.state === 'running' || rollout.state === 'paused') && !rollout.isJudged;
    if (!isWanted || rollout.plan.gates.length === 0 || this.#measuring !== undefined) return;
    if (clock.monoMs() < this.#nextMeasureMs) return;
    this.#measuring = this.#measure(facts().of).then((isMeasured) => {
      this.#measuring = undefined;
      if (isMeasured) onMeasured();
    });
  }

  measured(): Measurement | undefined {
    return this.#measurement;
  }

  expects(blob: HeldBlob): boolean {
    if (this.#facts === undefined || !this.#blobs.has(blob.sha256)) return false;
    this.#askers ??= askersOf(this.#document, this.#facts);
    return isWorthWaiting(this.#askers, blob, this.#document.rollout.plan.release.manifest.sha256);
  }

  async settled(): Promise<void> {
    await this.#measuring;
  }

  async #measure(of: (device: string) => DeviceFacts): Promise<boolean> {
    const { clock, query, log, measureEveryMs = MEASURE_EVERY_MS } = this.#deps;
    const { rollout, devices } = this.#document;
    const startedMs = clock.monoMs();
    try {
      const now = clock.now();
      const values = await measureGates(rollout, devices, { query, of, now });
      if (values === undefined) return false;
      this.#measurement = { stage: rollout.stage, ms: rollout.watchedMs, ts: now, values };
      return true;
    } catch (error) {
      log.error({ err: error, rollout: rollout.plan.id }, 'the gates of a rollout could not be measured');
      return false;
    } finally {
      const tookMs = clock.monoMs() - startedMs;
      this.#nextMeasureMs = clock.monoMs() + Math.max(measureEveryMs, tookMs / MEASURE_SHARE);
    }
  }

  #tell(before: StoredRollout, after: StoredRollout): void {
    const { log } = this.#deps;
    const { id } = after.plan;
    if (before.state !== after.state) {
      log.info({ rollout: id, state: after.state, reason: after.reason }, 'a rollout has a new state');
    }
    if (before.stage !== after.stage) log.info({ rollout: id, stage: after.stage + 1 }, 'a stage is open');
  }
}

/** The manifest and what it names; the manifest alone where the release is gone. */
function blobsOf({ kind, release }: StoredRollout['plan'], releases: ReleaseSource): ReadonlySet<string> {
  const found = releases.find(kind, release.name, release.version);
  const blobs = found?.manifest.blobs.map(({ sha256 }) => sha256) ?? [];
  return new Set([release.manifest.sha256, ...blobs]);
}
