import type { Requirement } from '../../shared/protocol/requirement.ts';
import type { Profile } from '../runtime/points.ts';
import { slotMsOf } from './levels.ts';
import type { StepTime } from './metrics.ts';
import { generateTrace, SCENARIOS, type ScenarioName } from './scenarios.ts';
import type { Course } from './simulate.ts';

/** Period of the frames for which the scenarios are written: 900 of them are a minute. */
const SCENARIO_PERIOD_MS = 66.7;
export const SCENARIO_FRAMES = 900;

/** The one disturbance that begins once and is long enough to settle in. */
const STEP: StepTime = { fromMs: 20_000, toMs: 40_000 };

export interface CourseOptions {
  readonly profile: Profile;
  readonly requirement: Requirement;
  readonly scenario: ScenarioName;
  readonly seed: number;
  readonly frames?: number;
}

/** A generated course, and what metrics need to know of its time. */
export interface TimedCourse extends Course {
  readonly secondMs: number;
  readonly step?: StepTime;
}

/**
 * A course through a scenario. Frames come as often as the slowest level allows (`slotMsOf`), and the scenario's
 * time is counted in frames, so that faster or slower families meet the same disturbances: a second of the
 * scenario is 15 frames for all of them.
 */
export function generatedCourse(options: CourseOptions): TimedCourse {
  const { profile, requirement, scenario, seed, frames = SCENARIO_FRAMES } = options;
  const slotMs = slotMsOf(profile);
  const stretch = slotMs / SCENARIO_PERIOD_MS;
  const generated = generateTrace({
    profile,
    slowdown: (atMs) => SCENARIOS[scenario](atMs / stretch),
    seed,
    frames,
    periodMs: slotMs,
    deadlineMs: slotMs,
  });
  const step = { fromMs: STEP.fromMs * stretch, toMs: STEP.toMs * stretch };
  return {
    trace: generated.trace,
    profile,
    requirement,
    generated,
    secondMs: 1_000 * stretch,
    ...(scenario === 'step' ? { step } : {}),
  };
}
