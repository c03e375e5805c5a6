import { type Random, seededRandom } from '../../shared/random.ts';
import type { Profile } from '../runtime/points.ts';
import type { Trace } from './trace.ts';

/** Slowdown of the machine at a time, as a multiple of the profile. */
export type Slowdown = (atMs: number) => number;

/** A disturbance of the machine by its name: an application that comes and goes, a device that throttles. */
export const SCENARIOS = {
  quiet: () => 1,
  /** Figure 7 of Dynamic-OFA: a second application for 20 s. */
  step: (atMs) => (atMs >= 20_000 && atMs < 40_000 ? 1.37 : 1),
  ramp: (atMs) => {
    if (atMs < 15_000) return 1;
    if (atMs < 35_000) return 1 + (0.5 * (atMs - 15_000)) / 20_000;
    return Math.max(1, 1.5 - (0.5 * (atMs - 35_000)) / 20_000);
  },
  burst: (atMs) => (atMs % 3_000 < 500 ? 1.55 : 1),
  square: (atMs) => (atMs % 4_000 >= 2_000 ? 1.37 : 1),
  /** Progressive throttling. */
  thermal: (atMs) => {
    if (atMs >= 48_000 || atMs < 8_000) return 1;
    return [1.1, 1.2, 1.3, 1.45][Math.min(3, Math.floor(atMs / 8_000) - 1)] ?? 1;
  },
} as const satisfies Readonly<Record<string, Slowdown>>;
export type ScenarioName = keyof typeof SCENARIOS;

/** Luck of single frames: lognormal noise, and spikes that last for a few frames. */
export interface Luck {
  /** Standard deviation of the logarithm. */
  readonly sigma: number;
  readonly spike: number;
  /** Probabilities that a spike begins at a frame, and that it goes on at the next. */
  readonly spikeBegins: number;
  readonly spikeGoesOn: number;
}

/** As measured on a Jetson Xavier NX at a steady level, and a little of what systems do besides. */
export const DEFAULT_LUCK: Luck = { sigma: 0.035, spike: 1.25, spikeBegins: 0.0008, spikeGoesOn: 0.7 };

export interface Generation {
  readonly profile: Profile;
  readonly slowdown: Slowdown;
  readonly seed: number;
  readonly frames: number;
  readonly periodMs: number;
  readonly deadlineMs: number;
  readonly luck?: Luck;
}

/** A generated trace, and the slowdown behind each of its frames without the noise, for oracles. */
export interface Generated {
  readonly trace: Trace;
  /** Scenario and spikes. */
  readonly slowdown: readonly number[];
  /** The scenario alone. */
  readonly scenario: readonly number[];
}

/** Generates a trace: latency = profile x slowdown x luck, one draw of luck for a frame, shared by all levels. */
export function generateTrace(options: Generation): Generated {
  const { profile, frames, periodMs, deadlineMs, seed, luck = DEFAULT_LUCK } = options;
  const random = seededRandom(seed);
  const spikes = spikesOf(frames, luck, random);
  const scenario = spikes.map((_, frame) => options.slowdown(frame * periodMs));
  const slowdown = spikes.map((spike, frame) => spike * (scenario[frame] ?? 1));
  const latencyMs = slowdown.map((factor) => {
    const lucky = factor * Math.exp(luck.sigma * random.normal());
    return profile.map((point) => point.latencyMs * lucky);
  });
  const levels = profile.map(({ level: _, ...point }) => point);
  return { trace: { periodMs, deadlineMs, levels, latencyMs }, slowdown, scenario };
}

function spikesOf(frames: number, { spike, spikeBegins, spikeGoesOn }: Luck, random: Random): number[] {
  const RESOLUTION = 2 ** 30;
  const happens = (probability: number): boolean => random.below(RESOLUTION) < probability * RESOLUTION;
  let spiking = false;
  return Array.from({ length: frames }, () => {
    spiking = happens(spiking ? spikeGoesOn : spikeBegins);
    return spiking ? spike : 1;
  });
}
