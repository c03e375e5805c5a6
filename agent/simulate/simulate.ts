import { AppError } from '../../shared/errors.ts';
import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { Profile } from '../runtime/points.ts';
import { POLICIES, type PolicyTable, policyOf } from '../runtime/policies/registry.ts';
import { usableLadder } from '../runtime/policies/situation.ts';
import type { RunningPolicy } from '../runtime/policy.ts';
import { goodputOf } from './metrics.ts';
import { disturbanceOracle, frameOracle, oneLateOracle } from './oracles.ts';
import { queueOracle } from './queue-oracle.ts';
import { type FrameOutcome, replay } from './replay.ts';
import { DEFAULT_LUCK, type Generated } from './scenarios.ts';
import type { Trace } from './trace.ts';

/** A frame that has waited is hopeless when less is left than this share of what the fastest point takes. */
const HOPELESS = 0.9;

/** A trace to run policies over. */
export interface Course {
  readonly trace: Trace;
  readonly profile: Profile;
  readonly requirement: Requirement;
  /** What is known of a generated trace besides; two oracles need it. */
  readonly generated?: Generated;
}

/** What only a simulator can run, by name, besides the policies of a table. */
const ORACLES: Readonly<Record<string, (course: Course) => FrameOutcome[]>> = {
  oracle: (course) => run(course, frameOracle(course.trace)),
  'oracle-queue': (course) => run(course, queueOracle(course.trace, queueOptions(course))),
  'oracle-disturbance': (course) => run(course, disturbanceOracle(generatedOf(course), DEFAULT_LUCK.sigma)),
  'oracle-one-late': (course) => run(course, oneLateOracle(generatedOf(course), DEFAULT_LUCK.sigma)),
  'static-best': bestStatic,
};

/** All names that `simulate` knows with this table. */
export function simulatedNames(table: PolicyTable = POLICIES): string[] {
  return [...Object.keys(table), 'static:N', ...Object.keys(ORACLES)];
}

/**
 * Runs a policy or an oracle by name over a trace. Policies that never shed have a queue before them that drops
 * frames which have waited until less than 0.9 of the fastest point's profiled latency is left: as published,
 * they would otherwise never recover from one overload.
 * @throws AppError `usage` for an unknown name, or an oracle that needs a generated trace
 */
export function simulate(name: string, course: Course, table: PolicyTable = POLICIES): FrameOutcome[] {
  const oracle = Object.hasOwn(ORACLES, name) ? ORACLES[name] : undefined;
  if (oracle !== undefined) return oracle(course);
  if (!Object.hasOwn(table, name) && !name.startsWith('static:')) {
    throw new AppError('usage', `there is no policy '${name}', only ${simulatedNames(table).join(', ')}`);
  }
  const { start, sheds } = policyOf(name, table);
  return run(course, start(course.profile), sheds ? 0 : hopelessMs(course.profile));
}

function run(
  { trace, profile, requirement }: Course,
  policy: RunningPolicy,
  dropUnderMs = 0,
): FrameOutcome[] {
  return replay(trace, policy, { profile, requirement, hopelessMs: dropUnderMs });
}

function hopelessMs(profile: Profile): number {
  return HOPELESS * (usableLadder(profile)[0]?.latencyMs ?? 0);
}

/** Of all static points the one that delivered most on this very trace. */
function bestStatic(course: Course): FrameOutcome[] {
  const runs = course.profile.map((_, point) => simulate(`static:${point}`, course));
  return runs.reduce((best, each) => (goodputOf(each) > goodputOf(best) ? each : best));
}

function queueOptions({ trace, profile, requirement }: Course): { profile: Profile; budgetMs: number } {
  return { profile, budgetMs: requirement.latencyMs ?? trace.deadlineMs };
}

function generatedOf({ generated }: Course): Generated {
  if (generated !== undefined) return generated;
  throw new AppError('usage', 'this oracle knows the disturbance behind a generated trace: use --scenario');
}
