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
  readonly onReading: (reading: SensorReading) => void;
}

/** Makes the loop that reads the sensors. */
export function createSensing({ sensors, clock, periodMs, onReading }: SensingDeps): Loop {
  return async (signal) => {
    while (!signal.aborted) {
      onReading(await sensors.sample());
      await clock.sleep(periodMs, signal).catch(() => undefined);
    }
  };
}

/** Tells a manager of energy and temperature, as far as they are known. */
export function tellManager(
  { atMs, energyJ, energyOverMs, tempC }: SensorReading,
  policy: Pick<RunningPolicy, 'observe'>,
  profile: Profile,
): void {
  if (energyJ !== undefined && energyOverMs !== undefined) {
    policy.observe({ kind: 'energy', energyJ, overMs: energyOverMs, nowMs: atMs }, profile);
  }
  if (tempC !== undefined) policy.observe({ kind: 'temperature', tempC, nowMs: atMs }, profile);
}
