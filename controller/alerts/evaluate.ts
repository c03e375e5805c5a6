import type { AlertRow, AlertRule, AlertState } from '../api/alert-schemas.ts';
import type { Spells } from '../store/alert-store.ts';
import type { AlertsConfig } from './config.ts';
import type { AlertInputs, DeviceFacts } from './facts.ts';
import { recentAfter, type Sample } from './recent.ts';
import { DEVICE_RULES, hasNews, type Rule, type Sight, STALLED_RULE, type Verdict } from './rules.ts';

/** An alert that is not resolved. */
interface Tracked {
  readonly row: AlertRow;
  /** For how long something was the matter, milliseconds. */
  readonly heldMs: number;
  /** For how long all has been well since; undefined while it is not. */
  readonly calmMs: number | undefined;
}

export interface AlertsState {
  /** By rule and device: of each there is one at most. */
  readonly active: ReadonlyMap<string, Tracked>;
  readonly spells: ReadonlyMap<string, Spells>;
  /** The newest windows of each device, as they were seen. */
  readonly recent: ReadonlyMap<string, readonly Sample[]>;
  /** Id of the newest alert; ids grow, and are times where the clock does not go back. */
  readonly lastId: number;
  readonly evaluatedTs: number | undefined;
}

/** What was stored of alerts: those that fire, the spells, and the newest id. */
export interface StoredAlerts {
  readonly firing: readonly AlertRow[];
  readonly spells: ReadonlyMap<string, Spells>;
  readonly lastId: number;
}

export interface Evaluation {
  readonly state: AlertsState;
  /** Alerts that fire or are resolved now; each change once. */
  readonly changes: readonly AlertRow[];
}

/** Longer than between two evaluations: the clock was set, or the controller did not run. That is no one's calm. */
const MAX_STEP_MS = 60_000;
/** What has lasted for long when it is first heard of may be over by the next message: outboxes are emptied in order. */
const SETTLE_MS = 5_000;
const MAX_REASON = 300;

/** The state to begin with; those that were firing still are. */
export function stateOf({ firing, spells, lastId }: StoredAlerts): AlertsState {
  const active = new Map(
    firing.map((row) => [keyOf(row.rule, row.device), { row, heldMs: 0, calmMs: undefined }]),
  );
  return { active, spells, recent: new Map(), lastId, evaluatedTs: undefined };
}

function keyOf(rule: AlertRule, device: string | null): string {
  return `${rule} ${device ?? ''}`;
}

/**
 * One look at everything. What is the matter for the time of its rule fires; what fires is resolved when all
 * was well for `resolveMs` without interruption, so that something that comes and goes is one alert. Where a
 * rule cannot tell, its alert stays as it is. Pure: time is `now`, of which only steps count.
 */
export function evaluate(
  state: AlertsState,
  inputs: AlertInputs,
  now: number,
  config: AlertsConfig,
): Evaluation {
  const elapsedMs = now - (state.evaluatedTs ?? now);
  const tracker = createTracker(state, {
    now,
    config,
    stepMs: Math.min(MAX_STEP_MS, Math.max(0, elapsedMs)),
  });
  const recent = new Map<string, readonly Sample[]>();
  for (const device of inputs.devices) {
    const samples = recentAfter(state.recent.get(device.id) ?? [], device.latest, config.violatedWindows);
    recent.set(device.id, samples);
    checkDevice(tracker, {
      device,
      spells: state.spells.get(device.id) ?? {},
      recent: samples,
      hearingMs: inputs.hearingMs,
      now,
      config,
    });
  }
  const stall: Verdict =
    inputs.stalled === undefined
      ? 'well'
      : { sinceTs: now, text: `nothing is taken in: ${inputs.stalled.slice(0, MAX_REASON)}` };
  tracker.take(STALLED_RULE, null, stall);
  // A device that is known no more has nothing the matter.
  tracker.takeRest();
  const { active, changes, lastId } = tracker.result();
  return { state: { active, spells: state.spells, recent, lastId, evaluatedTs: now }, changes };
}

function checkDevice(tracker: Tracker, sight: Sight): void {
  const news = hasNews(sight);
  for (const rule of DEVICE_RULES) {
    const verdict = rule.needsNews && !news ? 'unknown' : rule.check(sight);
    tracker.take(rule, sight.device, verdict);
  }
}

interface Look {
  readonly now: number;
  readonly stepMs: number;
  readonly config: AlertsConfig;
}

interface Tracker {
  take(rule: Rule, device: DeviceFacts | null, verdict: Verdict): void;
  /** Takes all as well that was not named. */
  takeRest(): void;
  result(): Pick<AlertsState, 'active' | 'lastId'> & Pick<Evaluation, 'changes'>;
}

const RULES = new Map<AlertRule, Rule>([...DEVICE_RULES, STALLED_RULE].map((rule) => [rule.rule, rule]));

function createTracker(state: AlertsState, look: Look): Tracker {
  const left = new Map(state.active);
  const active = new Map<string, Tracked>();
  const changes: AlertRow[] = [];
  let { lastId } = state;

  const begin = (rule: Rule, device: string | null): AlertRow => {
    lastId = Math.max(lastId + 1, Math.floor(look.now));
    const { rule: name, severity } = rule;
    return { id: String(lastId), rule: name, device, severity, state: 'pending', text: '', sinceTs: 0 };
  };
  const follow = (rule: Rule, device: string | null, verdict: Verdict): void => {
    const key = keyOf(rule.rule, device);
    const known = left.get(key);
    left.delete(key);
    if (known === undefined && typeof verdict === 'string') return;
    const before = known ?? newlyTracked(begin(rule, device), rule, verdict, look);
    const after = stepOf(before, rule, verdict, look);
    if (after === undefined) return;
    if (after.row.state !== before.row.state) changes.push(after.row);
    if (after.row.state !== 'resolved') active.set(key, after);
  };
  return {
    take: (rule, device, verdict) => follow(rule, device?.id ?? null, verdict),
    takeRest: () => {
      for (const { row } of [...left.values()]) {
        const rule = RULES.get(row.rule);
        if (rule !== undefined) follow(rule, row.device, 'well');
      }
    },
    result: () => ({ active, changes, lastId }),
  };
}

function newlyTracked(row: AlertRow, rule: Rule, verdict: Verdict, { now, stepMs, config }: Look): Tracked {
  if (typeof verdict === 'string') return { row, heldMs: 0, calmMs: undefined };
  const sinceTs = Math.min(verdict.sinceTs, now);
  const most = Math.max(0, rule.forMs(config) - SETTLE_MS);
  // The step is added when it is followed.
  return { row: { ...row, sinceTs }, heldMs: Math.min(now - sinceTs, most) - stepMs, calmMs: undefined };
}

/** What becomes of an alert by one look; undefined when it is forgotten without ever having fired. */
function stepOf(tracked: Tracked, rule: Rule, verdict: Verdict, look: Look): Tracked | undefined {
  const { row } = tracked;
  if (verdict === 'unknown') return tracked;
  if (verdict === 'well') {
    if (row.state === 'pending') return undefined;
    // Calm begins with the first look that finds all well.
    const calmMs = tracked.calmMs === undefined ? 0 : tracked.calmMs + look.stepMs;
    if (calmMs < look.config.resolveMs) return { ...tracked, calmMs };
    return { ...tracked, row: { ...row, state: 'resolved', resolvedTs: look.now } };
  }
  const heldMs = tracked.heldMs + look.stepMs;
  const fires = row.state === 'pending' && (verdict.ripe === true || heldMs >= rule.forMs(look.config));
  const changed = fires ? { state: 'firing' as AlertState, firedTs: look.now } : {};
  return { row: { ...row, ...changed, text: verdict.text }, heldMs, calmMs: undefined };
}
