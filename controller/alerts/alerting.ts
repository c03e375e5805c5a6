import { type BackoffPolicy, type Random, supervise } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import { describeError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Reported } from '../../shared/protocol/reported.ts';
import { createWakeable } from '../../shared/wake.ts';
import {
  ALERT_RULES,
  ALERT_SEVERITIES,
  type AlertNotification,
  type AlertRow,
  type AlertRule,
  type AlertState,
} from '../api/alert-schemas.ts';
import type { EventRow } from '../api/schemas.ts';
import type { AlertStore } from '../store/alert-store.ts';
import type { AlertsConfig } from './config.ts';
import { type AlertsState, evaluate, stateOf } from './evaluate.ts';
import { createGatherer, type GathererDeps } from './gather.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createNotifier, type Notifier, type NotifierState } from './notifier.ts';
import { recallEvents } from './recall.ts';
import { spellsAfter } from './spells.ts';
import type { Webhook } from './webhook.ts';

const EVERY_MS = 10_000;
/** Events wake the evaluation, but no more often than this. */
const LEAST_MS = 1_000;
const RESTART: BackoffPolicy = { firstMs: 500, capMs: 30_000 };

export interface AlertingDeps extends GathererDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly fleet: string;
  readonly config: AlertsConfig;
  readonly store: AlertStore;
  /** Events that are in the history, newest first. */
  readonly events: Parameters<typeof recallEvents>[0];
  /** Who is told; undefined: nobody. */
  readonly webhook: Webhook | undefined;
}

export interface Alerting extends AsyncDisposable {
  start(): void;
  /** Takes events that are in the history now. */
  onEvents(events: readonly EventRow[]): void;
  /** Notes devices of which windows are in the history now. */
  onNewest(newest: readonly { readonly device: string }[]): void;
  onReported(device: string, reported: Reported): void;
  /** Alerts of these devices, or of everything; without a state those that are not resolved. */
  list(question: AlertsQuestion): AlertRow[];
  /** How many fire, by rule; every rule is there. */
  firing(): Record<AlertRule, number>;
  /** Undefined where nobody is told. */
  notifications(): NotifierState | undefined;
}

export interface AlertsQuestion {
  readonly devices: readonly string[] | undefined;
  readonly state: AlertState | undefined;
  readonly limit: number;
}

/** Watches the fleet: gathers what is known, evaluates the rules, stores what they say and tells the webhook. */
export function createAlerting(deps: AlertingDeps): Alerting {
  return new AlertWatch(deps);
}

class AlertWatch implements Alerting {
  readonly #deps: AlertingDeps;
  readonly #ledger: Ledger;
  readonly #gatherer: ReturnType<typeof createGatherer>;
  readonly #notifier: Notifier | undefined;
  readonly #wakeable: ReturnType<typeof createWakeable>;
  readonly #stopping = new AbortController();
  #state: AlertsState;
  #hasRecalled = false;
  #running: Promise<void> | undefined;

  constructor(deps: AlertingDeps) {
    const { store, webhook, log, clock } = deps;
    this.#deps = deps;
    this.#ledger = createLedger(store, log);
    this.#gatherer = createGatherer(deps);
    this.#notifier = webhook === undefined ? undefined : createNotifier({ ...deps, webhook });
    this.#wakeable = createWakeable(clock);
    this.#state = stateOf({ firing: store.firing(), spells: store.spells(), lastId: store.lastId() });
  }

  start(): void {
    const { clock, random, log } = this.#deps;
    this.#notifier?.start();
    const onFault = (error: unknown) => log.error({ err: error }, 'alerts failed and are started again');
    const loop = (signal: AbortSignal) => this.#loop(signal);
    this.#running = supervise(loop, this.#stopping.signal, { clock, random, policy: RESTART, onFault });
  }

  onEvents(events: readonly EventRow[]): void {
    const changed = spellsAfter(this.#state.spells, events);
    if (changed.size === 0) return;
    this.#state = { ...this.#state, spells: new Map([...this.#state.spells, ...changed]) };
    this.#ledger.noteSpells(changed);
    this.#wakeable.wake();
  }

  onNewest(newest: readonly { readonly device: string }[]): void {
    this.#gatherer.onNewest(newest);
  }

  onReported(device: string, reported: Reported): void {
    this.#gatherer.onReported(device, reported);
  }

  list({ devices, state, limit }: AlertsQuestion): AlertRow[] {
    if (state === 'resolved') return this.#deps.store.resolved(devices, limit);
    const wanted = devices === undefined ? undefined : new Set(devices);
    const rows = [...this.#state.active.values()].map(({ row }) => row);
    return rows
      .filter((row) => state === undefined || row.state === state)
      .filter(({ device }) => wanted === undefined || (device !== null && wanted.has(device)))
      .sort(byUrgency)
      .slice(0, limit);
  }

  firing(): Record<AlertRule, number> {
    const counts = Object.fromEntries(ALERT_RULES.map((rule) => [rule, 0])) as Record<AlertRule, number>;
    for (const { row } of this.#state.active.values()) if (row.state === 'firing') counts[row.rule] += 1;
    return counts;
  }

  notifications(): NotifierState | undefined {
    return this.#notifier?.state();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#notifier?.[Symbol.asyncDispose]();
    this.#ledger.save();
  }

  async #loop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look();
      await this.#deps.clock.sleep(LEAST_MS, signal);
      await this.#wakeable.sleep(EVERY_MS - LEAST_MS, signal);
    }
  }

  /** Takes up what was heard before the start and not stored; tried again at the next look where it fails. */
  async #recall(): Promise<void> {
    const { events, clock, log } = this.#deps;
    try {
      this.onEvents(await recallEvents(events, clock.now()));
      this.#hasRecalled = true;
    } catch (error) {
      log.warn({ reason: describeError(error) }, 'events before the start cannot be read for alerts');
    }
  }

  async #look(): Promise<void> {
    const { clock, config, fleet, log } = this.#deps;
    if (!this.#hasRecalled) await this.#recall();
    const inputs = await this.#gatherer.gather();
    // From here on without waiting: events that come meanwhile would be lost.
    const { state, changes } = evaluate(this.#state, inputs, clock.now(), config);
    this.#state = state;
    for (const { rule, device, state: now, text } of changes)
      log.warn({ rule, device, text }, `alert ${now}`);
    const notifications =
      this.#notifier === undefined ? [] : changes.map((row) => notificationOf(row, fleet));
    this.#ledger.note(changes, notifications);
    this.#ledger.save();
    if (notifications.length > 0) this.#notifier?.push(notifications);
  }
}

function notificationOf(row: AlertRow, fleet: string): AlertNotification {
  return { ...row, fleet, notification: `${row.id}-${row.state}` };
}

/** The worst first, those that fire before those that may, the newest first. */
function byUrgency(a: AlertRow, b: AlertRow): number {
  const severity = ALERT_SEVERITIES.indexOf(a.severity) - ALERT_SEVERITIES.indexOf(b.severity);
  if (severity !== 0) return severity;
  if (a.state !== b.state) return a.state === 'firing' ? -1 : 1;
  return (b.firedTs ?? b.sinceTs) - (a.firedTs ?? a.sinceTs);
}
