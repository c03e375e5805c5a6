import {
  type EnergyView,
  energyReading,
  energyView,
  initialEnergy,
  type PowerModel,
} from '../energy/learner.ts';
import type { Profile } from '../runtime/points.ts';
import type { SensorReading } from '../sensors/reading.ts';

/** Learns what an inference on each operating point costs, from what the sensors tell between inferences. */
export interface EnergyMeter {
  /** Takes an inference in. @param runMs that it ran */
  inference(index: number, runMs: number): void;
  /**
   * Takes a reading of the sensors in, for the inferences since the one before.
   * @param isDisturbed whether there was other work for the engine: then it teaches nothing
   */
  reading(reading: SensorReading, isDisturbed: boolean): void;
  view(): EnergyView;
  /** How long a run of each point takes lately, milliseconds: what the energy of one inference goes with. */
  runsMs(): readonly number[];
}

/** Makes a meter of the points of a profile. */
export function createEnergyMeter(profile: Profile, model: PowerModel): EnergyMeter {
  let state = initialEnergy(profile, model);
  let work = new Map<number, { inferences: number; busyMs: number }>();
  return {
    inference: (index, runMs) => {
      const done = work.get(index) ?? { inferences: 0, busyMs: 0 };
      work.set(index, { inferences: done.inferences + 1, busyMs: done.busyMs + runMs });
    },
    reading: ({ atMs, energyJ, energyOverMs, powerQuality }, isDisturbed) => {
      const done = [...work].map(([point, of]) => ({ point, ...of }));
      work = new Map();
      if (energyJ === undefined || energyOverMs === undefined || isDisturbed) return;
      const reading = { fromMs: atMs - energyOverMs, toMs: atMs, energyJ, quality: powerQuality };
      state = energyReading(state, reading, done);
    },
    view: () => energyView(state),
    runsMs: () => state.points.map(({ busyMs }) => busyMs),
  };
}
