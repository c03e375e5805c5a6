import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';
import type { EnergyCounter, PowerGauge, PowerScope } from '../../shared/power/meter.ts';
import { openPowerMeter } from '../../shared/power/open.ts';
import type { PowerPoint } from './energy.ts';
import type { Limits } from './health.ts';
import type { Judged, Source } from './unit.ts';

/** A reading of a power sensor, with the number that does not move when the sensor is frozen. */
export interface PowerSample extends PowerPoint {
  readonly raw: number;
}

/** No module of the family draws more; boards and processors may be servers. */
const MAX_WATTS: Readonly<Record<PowerScope, number>> = { module: 500, board: 5_000, package: 5_000 };
/** A device that runs draws something: 0 W is a sensor that does not measure. */
const MIN_WATTS = 1e-3;
/**
 * What a sensor shows in steps of milliwatts does not stay the same when the load changes; but one that
 * averages over many samples shows a new value every second or two only.
 */
const HELD_GAUGE = { readings: 10, forMs: 5_000, activity: 0.3 };
/** A counter of energy moves as long as there is a processor to read it. */
const HELD_COUNTER = { readings: 2, forMs: 0, activity: 0 };
/** Counters are moved on every millisecond or so: over less time a difference is mostly chance. */
const MIN_COUNT_MS = 20;

/** What power of this scope can be. */
export function powerLimits(scope: PowerScope, isCounted: boolean): Limits {
  return {
    unit: 'W',
    min: MIN_WATTS,
    max: MAX_WATTS[scope],
    ratio: { most: 100, floor: 1 },
    held: isCounted ? HELD_COUNTER : HELD_GAUGE,
  };
}

/**
 * Opens the machine's power sensor.
 * @param root where the file system begins
 * @throws AppError `system` when there is none
 */
export async function openPower(root: string, clock: Clock): Promise<Source<PowerSample>> {
  const meter = await openPowerMeter(join(root, 'sys'));
  if ('unavailable' in meter) throw new AppError('system', meter.unavailable);
  return { read: meter.kind === 'power' ? readGauge(meter, clock) : readCounter(meter, clock) };
}

/** By what a power sensor is judged. */
export function judgePower({ watts, raw, scope, counted }: PowerSample): Judged {
  return { value: watts, raw, limits: powerLimits(scope ?? 'board', counted !== undefined) };
}

function readGauge({ source, scope, readW }: PowerGauge, clock: Clock): () => Promise<PowerSample> {
  return async () => {
    const watts = await readW();
    return { atMs: clock.monoMs(), watts, raw: watts, source, scope, quality: 'measured' };
  };
}

function readCounter(
  { source, scope, readJ }: EnergyCounter,
  clock: Clock,
): () => Promise<PowerSample | undefined> {
  let last: { readonly joules: number; readonly atMs: number } | undefined;
  return async () => {
    if (last !== undefined && clock.monoMs() - last.atMs < MIN_COUNT_MS) return undefined;
    const joules = await readJ();
    const atMs = clock.monoMs();
    const before = last;
    last = { joules, atMs };
    if (before === undefined || atMs <= before.atMs) return undefined;
    const counted = { energyJ: joules - before.joules, overMs: atMs - before.atMs };
    const watts = counted.energyJ / (counted.overMs / 1e3);
    return { atMs, watts, raw: joules, source, scope, quality: 'measured', counted };
  };
}
