import { AppError } from '../../../shared/errors.ts';
import { ofaManager } from '../manager/manager.ts';
import type { Profile } from '../points.ts';
import { type Policy, type RunningPolicy, startPolicy } from '../policy.ts';
import { alertPolicy } from './alert.ts';
import { PUBLISHED, TUNED } from './alert-filter.ts';
import { dynamicOfa, dynamicOfaRepaired } from './dynamic-ofa.ts';
import { maxAcc } from './max-acc.ts';
import { slackFit } from './slack-fit.ts';
import { staticPolicy } from './static-level.ts';

/** A policy that can be started for any profile. */
export interface KnownPolicy {
  readonly start: (profile: Profile) => RunningPolicy;
  /** Whether it sheds frames that have waited too long; one that does not relies on what stands before it. */
  readonly sheds: boolean;
}

export type PolicyTable = Readonly<Record<string, KnownPolicy>>;

/** Makes an entry of a table. */
export function known<S>(policy: Policy<S>, { sheds }: { readonly sheds: boolean }): KnownPolicy {
  return { start: (profile) => startPolicy(policy, profile), sheds };
}

const NEVER = { sheds: false };

/** What others have published, by name. `static:N`, the point with that index, is known besides. */
export const PEERS: PolicyTable = {
  'static-largest': known(staticPolicy('largest'), NEVER),
  'static-smallest': known(staticPolicy('smallest'), NEVER),
  'dynamic-ofa': known(dynamicOfa, NEVER),
  'dynamic-ofa-repaired': known(dynamicOfaRepaired, NEVER),
  slackfit: known(slackFit({ slowdown: false }), NEVER),
  'slackfit-slowdown': known(slackFit({ slowdown: true }), NEVER),
  maxacc: known(maxAcc, NEVER),
  alert: known(alertPolicy({ name: 'alert', constants: PUBLISHED, sheds: false }), NEVER),
  'alert-tuned': known(alertPolicy({ name: 'alert-tuned', constants: TUNED, sheds: false }), NEVER),
  'alert-tuned-shedding': known(
    alertPolicy({ name: 'alert-tuned-shedding', constants: TUNED, sheds: true }),
    {
      sheds: true,
    },
  ),
};

/** All policies: ours, and the others for comparison and for choice. */
export const POLICIES: PolicyTable = { ofa: known(ofaManager, { sheds: true }), ...PEERS };

/** The names that `policyOf` knows, the family of `static:N` written so. */
export function policyNames(table: PolicyTable = POLICIES): readonly string[] {
  return [...Object.keys(table), 'static:N'];
}

/**
 * A policy by its name: one of the table, or `static:N`.
 * @throws AppError `usage` for a name that is not known; its `start` throws one for a point that is not there
 */
export function policyOf(name: string, table: PolicyTable = POLICIES): KnownPolicy {
  const found = Object.hasOwn(table, name) ? table[name] : undefined;
  if (found !== undefined) return found;
  const [, digits] = /^static:(\d{1,3})$/.exec(name) ?? [];
  if (digits !== undefined) return { start: (profile) => startStatic(Number(digits), profile), sheds: false };
  throw new AppError('usage', `there is no policy '${name}', only ${policyNames(table).join(', ')}`);
}

function startStatic(point: number, profile: Profile): RunningPolicy {
  if (point < profile.length) return startPolicy(staticPolicy(point), profile);
  throw new AppError(
    'usage',
    `policy 'static:${point}': there are ${profile.length} operating points, 0 to ${profile.length - 1}`,
  );
}
