import { AppError } from '../../shared/errors.ts';
import { findHwmonZones, findThermalZones, TEMPERATURE_LIMITS, type Zone } from './thermal.ts';
import { createUnit, type SensorHealth, type Unit, type UnitDeps } from './unit.ts';

/** The hottest zone that can be read. */
export interface Hottest {
  readonly zone: string;
  readonly tempC: number;
}

/** The temperature of the device, made of many zones, each supervised by itself. */
export interface TemperatureSensor {
  sample(): Promise<Hottest | undefined>;
  /** Of the whole, and of each zone that is not well. */
  health(): SensorHealth[];
  close(): void;
}

interface SupervisedZone {
  readonly name: string;
  readonly unit: Unit<number>;
  /** Where it was found last. */
  zone: Zone;
}

/** A zone comes back when its engine is switched on, which may be at any time. */
const ZONE_CAP_MS = 5_000;
/** Zones are abandoned one by one, and no more than a few before all reading ends: so many bounds are enough. */
const PATIENCE = 5;

/**
 * Supervises the temperature: thermal zones, and where none of them can be read, what hwmon shows.
 * @param root where the file system begins
 */
export function createTemperature(root: string, deps: UnitDeps): TemperatureSensor {
  let zones: readonly SupervisedZone[] = [];
  const known = { thermal: new Map<string, SupervisedZone>(), hwmon: new Map<string, SupervisedZone>() };
  const open = async () => {
    const thermal = (await findThermalZones(root)).map((zone) => supervised(zone, known.thermal, deps));
    const hwmon = (await findHwmonZones(root)).map((zone) => supervised(zone, known.hwmon, deps));
    if (thermal.length + hwmon.length === 0) {
      throw new AppError('system', 'there is no thermal zone and no temperature of hwmon');
    }
    return {
      read: async (): Promise<Hottest> => {
        zones = thermal;
        const first = await hottestOf(zones);
        if (first !== undefined) return first;
        zones = [...thermal, ...hwmon];
        const second = await hottestOf(hwmon);
        if (second !== undefined) return second;
        throw new AppError('system', `none of ${zones.length} zones can be read`);
      },
    };
  };
  const unit = createUnit<Hottest>(
    { name: 'temperature', open, isComposite: true, boundMs: PATIENCE * deps.boundMs },
    deps,
  );
  return {
    sample: unit.sample,
    health: () => [
      unit.health(),
      ...zones.map((zone) => zone.unit.health()).filter(({ state }) => state !== 'ok'),
    ],
    close: unit.close,
  };
}

/** A zone that is found again is the same one: a read of it that hangs is not begun a second time. */
function supervised(zone: Zone, known: Map<string, SupervisedZone>, deps: UnitDeps): SupervisedZone {
  const before = known.get(zone.name);
  if (before !== undefined) {
    before.zone = zone;
    return before;
  }
  const unit = createUnit<number>(
    {
      name: `temperature ${zone.name}`,
      isOptional: true,
      backoff: { firstMs: deps.backoff.firstMs, capMs: Math.min(deps.backoff.capMs, ZONE_CAP_MS) },
      open: async () => ({ read: async () => await made.zone.readTempC() }),
      judge: (tempC) => ({ value: tempC, raw: tempC, limits: TEMPERATURE_LIMITS }),
    },
    deps,
  );
  const made: SupervisedZone = { name: zone.name, unit, zone };
  known.set(zone.name, made);
  return made;
}

async function hottestOf(zones: readonly SupervisedZone[]): Promise<Hottest | undefined> {
  let hottest: Hottest | undefined;
  for (const { name, unit } of zones) {
    const tempC = await unit.sample();
    if (tempC !== undefined && tempC > (hottest?.tempC ?? Number.NEGATIVE_INFINITY)) {
      hottest = { zone: name, tempC };
    }
  }
  return hottest;
}
