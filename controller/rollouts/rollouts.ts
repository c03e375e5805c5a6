import { type BackoffPolicy, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { ReleaseKind } from '../../shared/protocol/release.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import { createWakeable, type Wakeable } from '../../shared/wake.ts';
import type { Rollout, RolloutDetail, RolloutStart } from '../api/rollout-schemas.ts';
import type { Devices } from '../registry/devices.ts';
import type { Groups } from '../registry/groups.ts';
import type { FleetStore } from '../store/fleet-store.ts';
import { isOver, type RolloutStore } from '../store/rollout-store.ts';
import { type Active, createActive } from './active.ts';
import type { RolloutDocument } from './advance.ts';
import { type Control, controlled, startedWith } from './control.ts';
import type { HeldBlob } from './gathering.ts';
import type { MeasureDeps } from './measure.ts';
import { createReports, type Reports } from './reports.ts';
import { newRollout, type ReleaseSource } from './start.ts';
import { rolloutDetail, rolloutView } from './view.ts';
import type { WaitingFacts } from './waiting.ts';
import { factsOf, type Orders } from './world.ts';

/** All running rollouts are looked at at least this often, and at most this often however much is reported. */
const EVERY_MS = 2_000;
const LEAST_MS = 200;
/** Steps of one rollout in a row, before others have their turn. */
const MAX_STEPS = 20;
/** After so long they have it in any case, and so has telemetry. */
const TURN_MS = 20;
const RESTART: BackoffPolicy = { firstMs: 500, capMs: 30_000 };

export interface RolloutsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly store: Pick<FleetStore, 'transaction'> & { readonly rollouts: RolloutStore };
  readonly devices: Pick<Devices, 'all' | 'get' | 'require' | 'reported'>;
  readonly groups: Pick<Groups, 'require'>;
  readonly releases: ReleaseSource;
  readonly orders: Orders;
  /** The history, for the gates. */
  readonly query: MeasureDeps['query'];
  /** The least time between two measurements of the gates, milliseconds. */
  readonly measureEveryMs?: number;
}

/** Brings releases to devices, stage by stage, as far as their gates hold. */
export interface Rollouts extends AsyncDisposable {
  start(): void;
  /** A device has reported: running rollouts look at it soon. */
  onReported(device: string, reported: Reported): void;
  /** A device has come or gone. */
  onPresence(): void;
  /** @throws AppError `usage`, `not-found` or `conflict` when it cannot be started */
  begin(asked: RolloutStart): RolloutDetail;
  /** Newest first. */
  list(): Rollout[];
  /** @throws AppError `not-found` */
  show(id: string): RolloutDetail;
  /** @throws AppError `not-found`, or `conflict` when the rollout is not in a state for that */
  control(id: string, control: Control): RolloutDetail;
  /** Whether devices of a running rollout that have not asked yet will soon ask for that blob. */
  expectsMore(blob: HeldBlob): boolean;
  /** Whether a rollout that is not over brings that release. */
  needs(kind: ReleaseKind, name: string, version: number): boolean;
}

export function createRollouts(deps: RolloutsDeps): Rollouts {
  return new RolloutRunner(deps);
}

class RolloutRunner implements Rollouts {
  readonly #deps: RolloutsDeps;
  readonly #reports: Reports;
  readonly #wakeable: Wakeable;
  /** Rollouts that are not over. */
  readonly #active = new Map<string, Active>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(deps: RolloutsDeps) {
    this.#deps = deps;
    this.#reports = createReports(deps.devices);
    this.#wakeable = createWakeable(deps.clock);
    for (const rollout of deps.store.rollouts.all()) {
      if (!isOver(rollout)) this.#activate(this.#load(rollout.plan.id));
    }
  }

  start(): void {
    const { clock, random, log } = this.#deps;
    const onFault = (error: unknown) => log.error({ err: error }, 'rollouts failed and are started again');
    const loop = (signal: AbortSignal) => this.#loop(signal);
    this.#running = supervise(loop, this.#stopping.signal, { clock, random, policy: RESTART, onFault });
  }

  onReported(device: string, reported: Reported): void {
    if (this.#reports.take(device, reported)) this.#wakeable.wake();
  }

  onPresence(): void {
    if (this.#active.size > 0) this.#wakeable.wake();
  }

  begin(asked: RolloutStart): RolloutDetail {
    const { store, devices, groups, releases, clock } = this.#deps;
    const isTaken = (id: string): boolean => store.rollouts.get(id) !== undefined;
    const deps = { devices, groups, releases, now: clock.now(), isTaken };
    const started = startedWith(newRollout(asked, deps), {
      others: this.#documents(),
      isForced: asked.force,
    });
    this.#saveAll([...started.others, started.document]);
    const { id, release, kind } = started.document.rollout.plan;
    const about = { rollout: id, kind, release: `${release.name}@${release.version}` };
    this.#deps.log.info({ ...about, devices: started.document.devices.size }, 'a rollout has started');
    return this.show(id);
  }

  list(): Rollout[] {
    return this.#deps.store.rollouts.all().map((rollout) => {
      const active = this.#active.get(rollout.plan.id);
      if (active === undefined) return rolloutView({ rollout, devices: new Map() }, undefined);
      return rolloutView(active.document, this.#facts(active.document));
    });
  }

  show(id: string): RolloutDetail {
    const document = this.#require(id);
    return rolloutDetail(document, this.#facts(document));
  }

  control(id: string, control: Control): RolloutDetail {
    const document = controlled(this.#require(id), control, this.#deps.clock.now());
    this.#saveAll([document]);
    this.#deps.log.info({ rollout: id, ...control }, 'a rollout was told something');
    return this.show(id);
  }

  expectsMore(blob: HeldBlob): boolean {
    return [...this.#active.values()].some((active) => active.expects(blob));
  }

  needs(kind: ReleaseKind, name: string, version: number): boolean {
    return [...this.#documents()].some(({ rollout: { plan } }) => {
      return plan.kind === kind && plan.release.name === name && plan.release.version === version;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await Promise.all([...this.#active.values()].map((active) => active.settled()));
  }

  #require(id: string): RolloutDocument {
    return this.#active.get(id)?.document ?? this.#load(id);
  }

  #load(id: string): RolloutDocument {
    const { rollouts } = this.#deps.store;
    const rollout = rollouts.get(id);
    if (rollout === undefined) throw new AppError('not-found', `rollout '${id}' is not known`);
    return { rollout, devices: new Map(rollouts.devices(id).map((device) => [device.device, device])) };
  }

  /** Stores all of them, or none, before any of it counts. */
  #saveAll(documents: readonly RolloutDocument[]): void {
    const { store } = this.#deps;
    store.transaction(() => {
      for (const { rollout, devices } of documents) store.rollouts.save(rollout, devices.values());
    });
    for (const document of documents) this.#activate(document);
    this.#wakeable.wake();
  }

  #activate(document: RolloutDocument): void {
    const { id } = document.rollout.plan;
    const known = this.#active.get(id);
    if (known !== undefined) known.replace(document);
    else this.#active.set(id, createActive(document, this.#deps));
  }

  *#documents(): Iterable<RolloutDocument> {
    for (const { document } of this.#active.values()) yield document;
  }

  #facts(document: RolloutDocument, elapsedMs = 0): WaitingFacts {
    const { devices, groups, clock, orders } = this.#deps;
    const active = this.#active.get(document.rollout.plan.id);
    const moment = {
      ...{ now: clock.now(), elapsedMs, active: this.#documents() },
      ...{ maintenance: active?.maintenance, measured: active?.measured() },
    };
    const isOnline = (id: string): boolean => devices.get(id)?.presence?.online === true;
    const facts = factsOf(document, moment, {
      targets: { devices, groups },
      isOnline,
      reports: this.#reports,
      orders,
    });
    return facts.mayOrder ? facts : { ...facts, opensTs: active?.maintenance?.nextTs() };
  }

  async #loop(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      this.#advanceAll();
      await this.#deps.clock.sleep(LEAST_MS, signal);
      await this.#wakeable.sleep(EVERY_MS - LEAST_MS, signal);
    }
  }

  /** One that fails does not hold up the others; it is told and comes again. */
  #advanceAll(): void {
    const faults: unknown[] = [];
    for (const active of [...this.#active.values()]) {
      try {
        this.#advanceOne(active);
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw new AggregateError(faults, 'rollouts could not be advanced');
  }

  #advanceOne(active: Active): void {
    const { clock } = this.#deps;
    const untilMs = clock.monoMs() + TURN_MS;
    let isMoving = true;
    for (let step = 0; isMoving && step < MAX_STEPS && clock.monoMs() <= untilMs; step += 1) {
      const elapsedMs = active.elapsedMs();
      isMoving = active.advance(this.#facts(active.document, elapsedMs));
    }
    if (isMoving) this.#wakeable.wake();
    if (isOver(active.document.rollout)) {
      this.#active.delete(active.document.rollout.plan.id);
      this.#reports.keepOnly((id) => [...this.#documents()].some(({ devices }) => devices.has(id)));
      return;
    }
    active.measureIfDue({
      facts: () => this.#facts(active.document),
      onMeasured: () => this.#wakeable.wake(),
    });
  }
}
