import { AppError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/files.ts';
import { given } from '../../shared/given.ts';
import type { ReleaseKind, ReleaseRef } from '../../shared/protocol/release.ts';
import type { ReleaseManifest } from '../../shared/release/manifest.ts';
import { formatSelector, matches, parseSelector } from '../../shared/selector.ts';
import type { RolloutStart } from '../api/rollout-schemas.ts';
import type { Devices } from '../registry/devices.ts';
import type { Groups } from '../registry/groups.ts';
import { membersOf } from '../registry/membership.ts';
import type { RolloutDevice, RolloutPlan } from '../store/rollout-store.ts';
import type { RolloutDocument } from './advance.ts';
import { parseGate } from './gates.ts';
import { parseAbortRule, parseCanary, parseRate, stageEnds } from './grammar.ts';
import { maintenanceOf } from './maintenance.ts';

/** A release as rollouts need it. */
export interface ReleaseInfo {
  readonly kind: ReleaseKind;
  readonly ref: ReleaseRef;
  readonly manifest: ReleaseManifest;
  /** Blobs of it that are gone: devices would ask for them in vain. */
  readonly damaged?: readonly string[];
  /** Why devices would refuse it: its publisher's key does not count any more. */
  readonly untrusted?: string;
}

export interface ReleaseSource {
  find(kind: ReleaseKind, name: string, version?: number): ReleaseInfo | undefined;
  /** @throws AppError `not-found` */
  require(kind: ReleaseKind, name: string, version?: number): ReleaseInfo;
}

export interface TargetDeps {
  readonly devices: Pick<Devices, 'all' | 'require'>;
  readonly groups: Pick<Groups, 'require'>;
}

export interface StartDeps extends TargetDeps {
  readonly releases: ReleaseSource;
  readonly now: number;
  /** Whether a rollout has that name. */
  readonly isTaken: (id: string) => boolean;
}

const DEFAULT_CANARY = '100%';
/** Of an id, with room for a number behind it. */
const MAX_NAME = 40;

/**
 * Makes a rollout of what was asked for, with the devices that it is about now.
 * @throws AppError `usage` for what cannot be read, `not-found` for what is not there or selects nothing, `conflict`
 *   for a release that has expired, is damaged or no longer trusted, or a name that is taken
 */
export function newRollout(asked: RolloutStart, deps: StartDeps): RolloutDocument {
  const release = deps.releases.require(asked.kind, asked.release, asked.version);
  checkUsable(release, deps.now);
  const { name, version } = release.ref;
  const target = targetOf(asked.target);
  const ids = idsOfTarget(target, deps);
  if (ids.length === 0 && !asked.dynamic) throw new AppError('not-found', `${textOf(target)} no device`);
  const id = asked.id ?? freeId(`${name.slice(0, MAX_NAME)}-${version}`, deps.isTaken);
  if (deps.isTaken(id))
    throw new AppError('conflict', `a rollout '${id}' is there already; name it otherwise`);
  const canary = parseCanary(asked.canary ?? DEFAULT_CANARY);
  const ends = stageEnds(canary, ids.length);
  const plan: RolloutPlan = {
    ...limitsOf(asked, deps.now),
    ...{ id, kind: asked.kind, release: release.ref, target, canary },
    stages: Math.max(1, ends.length),
    ...given({ familySha256: familyOf(release.manifest) }),
  };
  return documentOf(plan, { ids: ordered(ids, id, asked.order), ends });
}

function checkUsable({ ref, manifest, damaged = [], untrusted }: ReleaseInfo, now: number): void {
  const what = `${ref.name}@${ref.version}`;
  if (untrusted !== undefined) throw new AppError('conflict', `${what}: ${untrusted}; publish it anew`);
  if (manifest.expiresTs <= now) {
    const when = new Date(manifest.expiresTs).toISOString();
    throw new AppError('conflict', `${what} has expired on ${when}; publish it anew`);
  }
  if (damaged.length === 0) return;
  const gone = `${damaged.length} of its blobs are not on the controller any more`;
  throw new AppError('conflict', `${what}: ${gone}, the first is ${damaged[0]}; publish it once more`);
}

function limitsOf(asked: RolloutStart, createdTs: number) {
  const { rate, abort, maintenance, soakMs, stepTimeoutMs, joinTimeoutMs, baselineMs, onAbort } = asked;
  return {
    ...{ soakMs, stepTimeoutMs, joinTimeoutMs, baselineMs, onAbort, createdTs },
    isDynamic: asked.dynamic,
    gates: asked.gates.map(parseGate),
    ...given({
      rate: rate === undefined ? undefined : parseRate(rate),
      abort: abort === undefined ? undefined : parseAbortRule(abort),
      maintenance: maintenance === undefined ? undefined : maintenanceOf(maintenance),
    }),
  };
}

function familyOf({ kind, blobs }: ReleaseManifest): string | undefined {
  return kind === 'family' ? blobs.find(({ role }) => role === 'family')?.sha256 : undefined;
}

type Target = RolloutPlan['target'];

/** Everything is said in so many words: a rollout to all devices must not come of a forgotten option. */
function targetOf({ all, ...target }: RolloutStart['target']): Target {
  const named = Object.values(target).filter((each) => each !== undefined).length + (all === true ? 1 : 0);
  if (named !== 1) throw new AppError('usage', 'say which devices: one of device, group, selector and all');
  const { selector, ...rest } = target;
  return selector === undefined ? rest : { selector: formatSelector(parseSelector(selector)) };
}

/**
 * The devices that a target selects now.
 * @throws AppError `not-found` when its device or group is not known
 */
export function idsOfTarget({ device, group, selector }: Target, { devices, groups }: TargetDeps): string[] {
  if (device !== undefined) return [devices.require(device).id];
  if (group !== undefined) return membersOf(groups.require(group), devices.all()).map(({ id }) => id);
  const all = [...devices.all()];
  if (selector === undefined) return all.map(({ id }) => id);
  const parsed = parseSelector(selector);
  return all.filter(({ labels }) => matches(parsed, labels)).map(({ id }) => id);
}

function textOf({ group, selector }: Target): string {
  if (group !== undefined) return `group '${group}' has`;
  return selector === undefined ? 'the fleet has' : `selector '${selector}' selects`;
}

function freeId(id: string, isTaken: (id: string) => boolean): string {
  if (!isTaken(id)) return id;
  for (let n = 2; ; n += 1) if (!isTaken(`${id}-${n}`)) return `${id}-${n}`;
}

/** Drawn by a hash of rollout and device: the same after a restart, and other canaries in every rollout. */
function ordered(ids: readonly string[], rollout: string, order: RolloutStart['order']): string[] {
  if (order === 'name') return ids.toSorted();
  const keyed = ids.map((id) => ({ id, key: sha256(`${rollout}/${id}`) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ id }) => id);
}

function documentOf(
  plan: RolloutPlan,
  { ids, ends }: { readonly ids: readonly string[]; readonly ends: readonly number[] },
): RolloutDocument {
  const sinceTs = plan.createdTs;
  const devices = ids.map((device, place): RolloutDevice => {
    const stage = ends.findIndex((at) => place < at);
    return { device, place, stage, state: 'QUEUED', sinceTs, attempts: 0 };
  });
  const rollout = {
    plan,
    ...({ state: 'running', stage: 0, stageTs: sinceTs, watchedMs: 0, isJudged: false, given: [] } as const),
  };
  return { rollout, devices: new Map(devices.map((device) => [device.device, device])) };
}
