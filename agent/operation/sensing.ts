import type { Loop } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Profile } from '../runtime/points.ts';
import type { RunningPolicy } from '../runtime/policy.ts';
import type { SensorReading } from '../sensors/reading.ts';
import type { Sensors } from '../sensors/sensors.ts';

export interface SensingDeps {
  readonly sensors: Pick<Sensors, 'sample'>;
  readonly clock: Clock;
  readonly periodMs: number;
  readonly policy: Pick<RunningPolicy, 'observe'>;
  readonly profile: () => Profile;
  readonly onReading: (reading: SensorReading) => void;
}

/** Makes the loop that reads the sensors and tells the manager of energy and temperature. */
export function createSensing({ sensors, clock, periodMs, policy, profile, onReading }: SensingDeps): Loop {
  return async (signal) => {
    while (!signal.aborted) {
      const reading = await sensors.sample();
      const { atMs, energyJ, energyOverMs, tempC } = reading;
      onReading(reading);
      if (energyJ !== undefined && energyOverMs !== undefined) {
        policy.observe({ kind: 'energy', energyJ, overMs: energyOverMs, nowMs: atMs }, profile());
      }
      if (tempC !== undefined) policy.observe({ kind: 'temperature', tempC, nowMs: atMs }, profile());
      await clock.sleep(periodMs, signal).catch(() => undefined);
    }
  };
}
