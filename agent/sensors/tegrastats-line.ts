import { BOARD_RAIL } from '../../shared/power/ina238.ts';
import { summedRails } from '../../shared/power/ina3221.ts';
import type { PowerScope } from '../../shared/power/meter.ts';
import { type GpuReading, MAX_FREQUENCY_HZ } from './gpu.ts';
import type { Hottest } from './temperature.ts';
import { isOffline, isZoneReal, TEMPERATURE_LIMITS, zoneName } from './thermal.ts';

/** What one line of tegrastats says. */
export interface TegrastatsLine {
  readonly watts: number | undefined;
  readonly scope: PowerScope;
  /** The rails that were counted, for people. */
  readonly rails: string;
  readonly hottest: Hottest | undefined;
  readonly gpu: GpuReading;
}

/** The longest lines that are known have about 700 characters. */
export const MAX_LINE_CHARACTERS = 4_096;

/** `GR3D_FREQ 3%@76`, `GR3D_FREQ 0%`, `GR3D_FREQ 12%@[1300,1300]`, and of Thor `GR3D_FREQ @[1000,1000,1000]`. */
const GPU = /(?:^|\s)GR3D(?:_FREQ)?\s+(?:(\d{1,3})%)?(?:@(?:\[([\d,\s]{1,100})\]|(\d{1,6})))?/;
/** `POM_5V_IN 933/933`, `VDD_IN 4319mW/4319mW` and with the largest as a third: now, average, largest. */
const RAIL = /(?:^|\s)([A-Z][A-Z0-9_]{1,40}) (\d{1,9})(?:mW)?\/\d{1,9}(?:mW)?(?:\/\d{1,9}(?:mW)?)?(?=\s|$)/g;
/** `CPU@44.5C`, and with the highest as a second: `cpu@52.9C/52.9C`. */
const TEMPERATURE = /(?:^|\s)([A-Za-z][\w-]{0,40})@(-?\d{1,4}(?:\.\d{1,6})?)C(?=[\s/]|$)/g;

/**
 * Reads one line of tegrastats, in the forms of JetPack 4 to 7: what is missing is undefined. Undefined for a
 * line that says none of it.
 */
export function parseTegrastats(line: string): TegrastatsLine | undefined {
  const text = line.slice(0, MAX_LINE_CHARACTERS);
  const gpu = gpuOf(text);
  const hottest = hottestOf(text);
  const rails = countedRails(text);
  if (rails.length === 0 && hottest === undefined && gpu.load === undefined && gpu.freqHz === undefined) {
    return undefined;
  }
  return {
    watts: rails.length === 0 ? undefined : rails.reduce((sum, { milliwatts }) => sum + milliwatts, 0) / 1e3,
    scope: rails[0]?.label === BOARD_RAIL ? 'board' : 'module',
    rails: rails.map(({ label }) => label).join(' + '),
    hottest,
    gpu,
  };
}

function countedRails(text: string): { label: string; milliwatts: number }[] {
  const rails = [...text.matchAll(RAIL)].map(([, label = '', milliwatts]) => ({
    label,
    milliwatts: Number(milliwatts),
  }));
  const board = rails.find(({ label }) => label === BOARD_RAIL);
  return board === undefined ? summedRails(rails) : [board];
}

function gpuOf(text: string): GpuReading {
  const [, percent, several, one] = GPU.exec(text) ?? [];
  const megahertz = Math.max(0, ...(several ?? one ?? '').split(',').map(Number).filter(Number.isFinite));
  const load = percent === undefined ? undefined : Number(percent) / 100;
  return {
    load: load !== undefined && load <= 1 ? load : undefined,
    // A GPU that is off has no frequency.
    freqHz: megahertz > 0 && megahertz * 1e6 <= MAX_FREQUENCY_HZ ? megahertz * 1e6 : undefined,
  };
}

function hottestOf(text: string): Hottest | undefined {
  let hottest: Hottest | undefined;
  for (const [, name = '', degrees] of text.matchAll(TEMPERATURE)) {
    const [zone, tempC] = [zoneName(name), Number(degrees)];
    const { min, max } = TEMPERATURE_LIMITS;
    if (!isZoneReal(zone) || isOffline(tempC) || tempC < min || tempC > max) continue;
    if (tempC > (hottest?.tempC ?? Number.NEGATIVE_INFINITY)) hottest = { zone, tempC };
  }
  return hottest;
}
