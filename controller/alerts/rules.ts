import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { AlertRule, AlertSeverity } from '../api/alert-schemas.ts';
import type { Spells } from '../store/alert-store.ts';
import type { AlertsConfig } from './config.ts';
import type { DeviceFacts } from './facts.ts';
import { meetsLatencySince, missesTooMuch, type Sample } from './recent.ts';
import { lasting } from './spells.ts';

/** Something is the matter. */
export interface Finding {
  /** Since when, by the controller's clock. */
  readonly sinceTs: number;
  readonly text: string;
  /** It has lasted for long enough by what it is. */
  readonly ripe?: boolean;
}

/** What a rule says of a device: all is well, something is the matter, or nothing can be told now. */
export type Verdict = Finding | 'well' | 'unknown';

/** What a rule of devices sees. */
export interface Sight {
  readonly device: DeviceFacts;
  readonly spells: Spells;
  readonly recent: readonly Sample[];
  readonly hearingMs: number;
  readonly now: number;
  readonly config: AlertsConfig;
}

export interface Rule {
  readonly rule: AlertRule;
  readonly severity: AlertSeverity;
  /** For how long something must be the matter, milliseconds. */
  readonly forMs: (config: AlertsConfig) => number;
}

export interface DeviceRule extends Rule {
  readonly check: (sight: Sight) => Verdict;
  /** Whether it goes by what the device said last: of a device that is silent it knows nothing. */
  readonly needsNews: boolean;
}

/** A device's clock may differ by this much from the controller's, milliseconds. */
const CLOCK_TOLERANCE_MS = 300_000;

/** After a cut the first windows still tell of an old outbox, which is being emptied. */
const OUTBOX_HELD_MS = 60_000;

/** The history takes nothing in. */
export const STALLED_RULE: Rule = {
  rule: 'history-stalled',
  severity: 'critical',
  forMs: ({ stalledMs }) => stalledMs,
};

/** Every rule of devices. */
export const DEVICE_RULES: readonly DeviceRule[] = [
  {
    rule: 'budget-violated',
    severity: 'warning',
    forMs: ({ violatedMs }) => violatedMs,
    needsNews: true,
    check: checkBudget,
  },
  { rule: 'device-silent', severity: 'critical', forMs: () => 0, needsNews: false, check: checkSilence },
  {
    rule: 'throttled',
    severity: 'warning',
    forMs: ({ throttledMs }) => throttledMs,
    needsNews: true,
    check: ({ spells }) => {
      const [first] = lasting(spells, 'throttle');
      return first === undefined
        ? 'well'
        : { sinceTs: first.spell.sinceTs, text: `throttled: ${first.spell.reason}` };
    },
  },
  {
    rule: 'drifting',
    severity: 'warning',
    forMs: ({ driftingMs }) => driftingMs,
    needsNews: true,
    check: checkDrift,
  },
  {
    rule: 'cpu-fallback',
    severity: 'warning',
    forMs: ({ cpuFallbackMs }) => cpuFallbackMs,
    needsNews: true,
    check: checkElement,
  },
  {
    rule: 'outbox-old',
    severity: 'warning',
    forMs: () => OUTBOX_HELD_MS,
    needsNews: true,
    check: checkOutbox,
  },
  {
    rule: 'identity-conflict',
    severity: 'critical',
    forMs: () => 0,
    needsNews: false,
    check: ({ device, now }) =>
      device.identityConflict
        ? { sinceTs: now, text: 'two programs use the identity of this device in turn; stop one of them' }
        : 'well',
  },
];

function checkBudget({ spells, recent, config }: Sight): Verdict {
  const count = config.violatedWindows;
  // The end of a violation may be among the events that a device held back: windows know better.
  const violated = lasting(spells, 'violation').filter(
    ({ of, spell }) => of !== 'latency' || !meetsLatencySince(recent, spell.ts, count),
  );
  const [first] = violated;
  const tooMuch = missesTooMuch(recent, count);
  if (tooMuch === true) return missing(recent);
  if (first !== undefined) {
    const limits = violated.map(({ of }) => of).join(', ');
    return { sinceTs: first.spell.sinceTs, text: `cannot be kept: ${limits}; ${first.spell.reason}` };
  }
  return tooMuch === undefined ? 'unknown' : 'well';
}

function missing(recent: readonly Sample[]): Finding {
  const inferences = recent.reduce((sum, sample) => sum + sample.inferences, 0);
  const misses = recent.reduce((sum, sample) => sum + sample.misses, 0);
  const allowed = recent.at(-1)?.allowed ?? 0;
  const sinceTs = Math.min(...recent.map((sample) => sample.ts - sample.durationMs));
  const share = `${percent(misses / inferences)} of ${inferences} inferences missed the latency budget`;
  return { sinceTs, ripe: true, text: `${share} in ${recent.length} windows; ${percent(allowed)} may` };
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}

/** A device is silent after this long, milliseconds. */
function silentAfterMs({ device, config }: Pick<Sight, 'device' | 'config'>): number {
  const windowMs = Math.max(device.latest?.durationMs ?? 0, device.report?.windowMs ?? 0);
  return Math.max(config.silentWindows * windowMs, config.silentMs);
}

/** How long nothing was heard of a device, by arrivals and by what its windows say; windows of the future say nothing. */
function quietMs({ device, now }: Pick<Sight, 'device' | 'now'>): number {
  const { latest, arrivedAgoMs = Number.POSITIVE_INFINITY } = device;
  const heardTs = latest?.ts ?? device.firstSeenTs;
  const age = now - heardTs;
  return Math.min(arrivedAgoMs, age < -CLOCK_TOLERANCE_MS ? Number.POSITIVE_INFINITY : Math.max(0, age));
}

function checkSilence(sight: Sight): Verdict {
  const quiet = quietMs(sight);
  const limit = silentAfterMs(sight);
  if (quiet <= limit) return 'well';
  // Whoever could not hear cannot say who was silent.
  if (sight.hearingMs <= limit) return 'unknown';
  const { latest, firstSeenTs } = sight.device;
  const sinceTs = Number.isFinite(quiet) ? sight.now - quiet : Math.min(latest?.ts ?? firstSeenTs, sight.now);
  if (latest === undefined) return { sinceTs, text: 'known, but no telemetry of it ever came' };
  return { sinceTs, text: `no telemetry for ${Math.round((sight.now - sinceTs) / 1_000)} s` };
}

/**
 * Whether what is known of a device is of now: something comes, and the newest window is not one of those that
 * waited in its outbox.
 */
export function hasNews(sight: Sight): boolean {
  const limit = silentAfterMs(sight);
  const { latest } = sight.device;
  return (
    latest !== undefined && quietMs(sight) <= limit && sight.now - latest.ts <= limit + CLOCK_TOLERANCE_MS
  );
}

function checkDrift({ spells, device, now }: Sight): Verdict {
  const drifts = lasting(spells, 'drift');
  const [first] = drifts;
  if (first !== undefined) {
    const names = drifts.map(({ of }) => of.replace(/^all\//, 'level ')).join(', ');
    return { sinceTs: first.spell.sinceTs, text: `drifting: ${names}; ${first.spell.reason}` };
  }
  if (device.latest?.drifting !== true) return 'well';
  return {
    sinceTs: Math.min(device.latest.ts, now),
    text: 'audits say that levels are not worth what they were',
  };
}

/** Limits that a processor of low power may be the right answer to. */
const FRUGAL: readonly (keyof Requirement)[] = ['powerW', 'energyJ', 'tempC', 'price'];

function checkElement({ device, now }: Sight): Verdict {
  const { report, latest } = device;
  if (report === undefined || report.gpuPoints === 0) return 'well';
  if (report.usableGpuPoints === 0) {
    const reason = report.gpuReason === undefined ? '' : `; ${report.gpuReason}`;
    return { sinceTs: now, text: `no operating point on the GPU can be used${reason}` };
  }
  if (latest === undefined || latest.inferences === 0) return 'unknown';
  const mayChoose = FRUGAL.some((field) => latest.requirement[field] !== undefined);
  if (latest.pe !== 'cpu' || mayChoose) return 'well';
  return {
    sinceTs: Math.min(latest.ts, now),
    text: 'runs on the CPU although it has operating points on the GPU and nothing limits its energy',
  };
}

function checkOutbox({ device, now, config }: Sight): Verdict {
  if (device.latest === undefined) return 'unknown';
  const { outboxAgeMs = 0 } = device.latest;
  if (outboxAgeMs <= config.outboxAgeMs) return 'well';
  const minutes = Math.round(outboxAgeMs / 60_000);
  return { sinceTs: now, text: `records wait on the device for ${minutes} min` };
}
