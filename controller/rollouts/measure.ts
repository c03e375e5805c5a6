import type { Metric, TelemetryAnswer, TelemetryQuery } from '../api/history-schemas.ts';
import type { TelemetryQuestion } from '../history/read/query.ts';
import type { Gate, Measured, RolloutDevice, StoredRollout } from '../store/rollout-store.ts';
import type { DeviceFacts } from './facts.ts';
import { cohortOf } from './stage.ts';

export interface MeasureDeps {
  readonly query: (question: TelemetryQuestion) => Promise<TelemetryAnswer>;
  readonly of: (device: string) => DeviceFacts;
  readonly now: number;
}

interface Cohort {
  readonly rollout: StoredRollout;
  readonly devices: readonly RolloutDevice[];
  readonly ids: readonly string[];
  /** Devices that the stage will have told to install. */
  readonly size: number;
  /** How much of their soaking is over, 0..1. */
  readonly share: number;
}

/**
 * Measures every gate over the devices that were told to install in the open stage, in the order of the gates;
 * undefined while none of them serves what it installed, and there is nothing to measure.
 */
export async function measureGates(
  rollout: StoredRollout,
  devices: ReadonlyMap<string, RolloutDevice>,
  deps: MeasureDeps,
): Promise<Measured[] | undefined> {
  const told = [...devices.values()].filter(({ orderedStage }) => orderedStage === rollout.stage);
  if (!told.some(hasShownSomething)) return undefined;
  const serving = cohortOf(rollout, devices);
  const open = [...devices.values()].filter(
    ({ stage, state }) => stage === rollout.stage && state === 'QUEUED',
  );
  const { size } = new Set([...told, ...open].map(({ device }) => device));
  const cohort: Cohort = {
    rollout,
    devices: serving,
    ids: serving.map(({ device }) => device),
    size,
    share: soakedShare(rollout, serving, size),
  };
  return Promise.all(rollout.plan.gates.map((gate) => measureGate(gate, cohort, { told, deps })));
}

function hasShownSomething({ activatedMs, agreement, profile, crashes }: RolloutDevice): boolean {
  return [activatedMs, agreement, profile, crashes].some((each) => each !== undefined);
}

/** Mean over all devices of the stage; those that have ended have soaked, those that are to come have not begun. */
function soakedShare(
  { plan, watchedMs }: StoredRollout,
  serving: readonly RolloutDevice[],
  size: number,
): number {
  const shares = serving.map(({ state, activatedMs = watchedMs }) =>
    state !== 'IN_PROGRESS' || plan.soakMs === 0 ? 1 : Math.min(1, (watchedMs - activatedMs) / plan.soakMs),
  );
  return Math.min(1, shares.reduce((sum, share) => sum + share, 0) / Math.max(1, size));
}

interface Work {
  readonly told: readonly RolloutDevice[];
  readonly deps: MeasureDeps;
}

function measureGate(gate: Gate, cohort: Cohort, { told, deps }: Work): Measured | Promise<Measured> {
  switch (gate.metric) {
    case 'agreement':
      return agreementOf(told, cohort);
    case 'profile':
      return profileOf(told, cohort);
    case 'crashes':
      return { now: sumOf(told, ({ crashes = 0 }) => crashes), count: told.length, share: 1 };
    case 'fallback':
      return {
        now: sumOf(cohort.devices, (device) => Number(hasFallen(device, deps))),
        count: told.length,
        share: 1,
      };
    default:
      return measureTelemetry(gate.metric, cohort, deps);
  }
}

function sumOf(devices: readonly RolloutDevice[], of: (device: RolloutDevice) => number): number {
  return devices.reduce((sum, device) => sum + of(device), 0);
}

/** It had a GPU before, and what it serves now runs on none. */
function hasFallen({ device, hadGpu, state }: RolloutDevice, { of }: MeasureDeps): boolean {
  const serves = state === 'SUCCEEDED' || state === 'IN_PROGRESS';
  return serves && hadGpu === true && of(device).gpuPoints === 0;
}

/** Weighted by frames. Devices compare before they serve it: what they say does not change any more. */
function agreementOf(told: readonly RolloutDevice[], { size }: Cohort): Measured {
  const known = told.flatMap(({ agreement }) => agreement ?? []).filter(({ frames }) => frames > 0);
  const frames = known.reduce((sum, each) => sum + each.frames, 0);
  const share = Math.min(1, known.length / Math.max(1, size));
  if (frames === 0) return { count: 0, share };
  return {
    now: known.reduce((sum, each) => sum + each.share * each.frames, 0) / frames,
    count: frames,
    share,
  };
}

/** Mean over devices. They measure before they serve it, so that no runtime manager makes up for what is slow. */
function profileOf(told: readonly RolloutDevice[], { size }: Cohort): Measured {
  const known = told.flatMap(({ profile }) => profile ?? []);
  const { length: count } = known;
  const share = Math.min(1, count / Math.max(1, size));
  if (count === 0) return { count, share };
  return {
    now: known.reduce((sum, { latencyMs }) => sum + latencyMs, 0) / count,
    before: known.reduce((sum, { beforeMs }) => sum + beforeMs, 0) / count,
    count,
    share,
  };
}

type TelemetryMetric = Exclude<Gate['metric'], 'agreement' | 'profile' | 'crashes' | 'fallback'>;
type Asked = Pick<TelemetryQuery, 'metric' | 'aggregate'>;

const ASKED: Readonly<Record<Exclude<TelemetryMetric, 'shed'>, Asked>> = {
  miss: { metric: 'missShare' },
  accuracy: { metric: 'accuracy' },
  latency: { metric: 'latencyMs', aggregate: 'mean' },
  p95: { metric: 'latencyMs', aggregate: 'p95' },
  p99: { metric: 'latencyMs', aggregate: 'p99' },
  energy: { metric: 'energyJ', aggregate: 'mean' },
};

interface Value {
  readonly value: number;
  readonly count: number;
}

async function measureTelemetry(
  metric: TelemetryMetric,
  cohort: Cohort,
  deps: MeasureDeps,
): Promise<Measured> {
  const { share, ids } = cohort;
  if (ids.length === 0) return { count: 0, share };
  const ask = metric === 'shed' ? askShed : askOf(ASKED[metric]);
  const [now, before] = await Promise.all([
    ask(afterSpan(metric, cohort, deps.now), ids, deps),
    ask(beforeSpan(cohort, deps.now), ids, deps),
  ]);
  return {
    count: now?.count ?? 0,
    share,
    ...(now !== undefined && { now: now.value }),
    ...(before !== undefined && { before: before.value }),
  };
}

interface Span {
  readonly since: number;
  readonly until?: number;
  /** Of this family only. */
  readonly family?: string | undefined;
}

/** When the first of them was told to install; a clock that was put back since must not make a time of the future. */
function firstOrderTs({ devices }: Cohort, now: number): number {
  return devices.reduce((first, { orderedTs = now }) => Math.min(first, orderedTs), now);
}

function beforeSpan(cohort: Cohort, now: number): Span {
  const until = firstOrderTs(cohort, now);
  return { since: Math.max(0, until - cohort.rollout.plan.baselineMs), until };
}

/**
 * Since the first of them served it, where telemetry says of which family it is; else since the last one did. A device
 * whose clock is wrong must not hide all that came after.
 */
function afterSpan(metric: TelemetryMetric, cohort: Cohort, now: number): Span {
  const { familySha256 } = cohort.rollout.plan;
  const orderTs = firstOrderTs(cohort, now);
  const times = cohort.devices
    .flatMap(({ activatedTs }) => activatedTs ?? [])
    .filter((ts) => ts >= orderTs && ts <= now);
  const isByFamily = familySha256 !== undefined && metric !== 'shed';
  if (isByFamily)
    return { since: times.reduce((a, b) => Math.min(a, b), times[0] ?? orderTs), family: familySha256 };
  return { since: times.reduce((a, b) => Math.max(a, b), orderTs) };
}

type Ask = (span: Span, devices: readonly string[], deps: MeasureDeps) => Promise<Value | undefined>;

function askOf(asked: Asked): Ask {
  return async ({ family, ...span }, devices, { query, now }) => {
    const by = family === undefined ? {} : ({ by: 'family' } as const);
    const answer = await query({ query: { ...asked, ...span, ...by }, devices, now });
    const point = answer.series.find(({ key }) => key === (family ?? ''))?.points[0];
    return point === undefined ? undefined : { value: point.value, count: point.count };
  };
}

/** Frames that were shed of all frames that came. */
async function askShed(
  span: Span,
  devices: readonly string[],
  deps: MeasureDeps,
): Promise<Value | undefined> {
  const sum = (metric: Metric) => askOf({ metric, aggregate: 'sum' })(span, devices, deps);
  const [sheds, inferences] = await Promise.all([sum('sheds'), sum('inferences')]);
  const frames = (sheds?.value ?? 0) + (inferences?.value ?? 0);
  return frames === 0 ? undefined : { value: (sheds?.value ?? 0) / frames, count: Math.round(frames) };
}
