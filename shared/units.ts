import { AppError } from './errors.ts';

/** Dimensions that people give values of, each with its base unit and the factor of every other one. */
const DIMENSIONS = {
  duration: {
    base: 'ms',
    example: '2ms, 30s or 24h',
    units: {
      us: 0.001,
      ms: 1,
      s: 1_000,
      m: 60_000,
      min: 60_000,
      h: 3_600_000,
      d: 86_400_000,
      w: 604_800_000,
    },
  },
  power: { base: 'W', example: '7W or 850mW', units: { mW: 0.001, W: 1, kW: 1_000 } },
  energy: {
    base: 'J',
    example: '12mJ or 2.5kWh',
    units: { uJ: 1e-6, mJ: 0.001, J: 1, kJ: 1_000, MJ: 1e6, Wh: 3_600, kWh: 3_600_000 },
  },
  frequency: { base: 'fps', example: '30fps or 30Hz', units: { fps: 1, Hz: 1, '': 1 } },
  fraction: { base: '', example: '0.92 or 92%', units: { '': 1, '%': 0.01 } },
  temperature: { base: 'C', example: '80C', units: { C: 1, '°C': 1 } },
  size: {
    base: 'B',
    example: '512MiB or 2GB',
    units: { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  },
} as const satisfies Record<string, { base: string; example: string; units: Record<string, number> }>;

export type Dimension = keyof typeof DIMENSIONS;

const QUANTITY = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z%°]*)\s*$/i;

function factorOf(dimension: Dimension, unit: string): number | undefined {
  const units: Record<string, number> = DIMENSIONS[dimension].units;
  return Object.hasOwn(units, unit) ? units[unit] : undefined;
}

function dimensionOf(unit: string): Dimension | undefined {
  const names = Object.keys(DIMENSIONS) as Dimension[];
  return unit === '' ? undefined : names.find((name) => factorOf(name, unit) !== undefined);
}

function named(dimension: Dimension): string {
  return `${/^[aeiou]/.test(dimension) ? 'an' : 'a'} ${dimension}`;
}

/**
 * Reads a quantity as people write it (`2ms`, `7W`, `24h`, `92%`, `80C`) and returns it in the base unit of
 * its dimension (ms, W, J, frames per second, fraction, degrees Celsius, bytes).
 * @param what names the value in the error, for example `--latency`
 * @throws AppError `usage` for anything that is not a finite number with a unit of that dimension
 */
export function parseQuantity(text: string, dimension: Dimension, what: string): number {
  const { example } = DIMENSIONS[dimension];
  const match = QUANTITY.exec(text);
  if (match === null) {
    throw new AppError(
      'usage',
      `${what}: '${text}' is not ${named(dimension)}; write for example ${example}`,
    );
  }
  const unit = match[2] ?? '';
  const factor = factorOf(dimension, unit);
  const value = Number(match[1]) * (factor ?? Number.NaN);
  if (factor !== undefined && Number.isFinite(value)) return value;
  const other = dimensionOf(unit);
  const why =
    unit === ''
      ? 'has no unit'
      : other === undefined
        ? `has the unknown unit '${unit}'`
        : `is ${named(other)}`;
  throw new AppError(
    'usage',
    `${what}: '${text}' ${why}; ${named(dimension)} is written for example ${example}`,
  );
}

/** A duration for people: the largest unit that keeps the number at 1 or more, three digits. */
export function formatDurationMs(ms: number): string {
  const magnitude = Math.abs(ms);
  if (!Number.isFinite(ms)) return '-';
  if (magnitude >= 86_400_000) return `${Number((ms / 86_400_000).toPrecision(3))}d`;
  if (magnitude >= 3_600_000) return `${Number((ms / 3_600_000).toPrecision(3))}h`;
  if (magnitude >= 60_000) return `${Number((ms / 60_000).toPrecision(3))}m`;
  if (magnitude >= 1_000) return `${Number((ms / 1_000).toPrecision(3))}s`;
  if (magnitude >= 1 || magnitude === 0) return `${Number(ms.toPrecision(3))}ms`;
  return `${Number((ms * 1_000).toPrecision(3))}us`;
}

/** A value in the unit of `scales` (largest first) that keeps it at 1 or more, with three digits. */
function formatScaled(value: number, scales: readonly (readonly [unit: string, factor: number])[]): string {
  const magnitude = Math.abs(value);
  if (!Number.isFinite(value)) return '-';
  const fitting = scales.find(([, factor]) => magnitude >= factor) ?? scales.at(-1);
  const [unit, factor] = fitting ?? ['', 1];
  return `${Number((value / factor).toPrecision(3))}${unit}`;
}

const WATTS = [
  ['kW', 1_000],
  ['W', 1],
  ['mW', 0.001],
] as const;
const JOULES = [
  ['MJ', 1_000_000],
  ['kJ', 1_000],
  ['J', 1],
  ['mJ', 0.001],
  ['uJ', 1e-6],
] as const;

/** A power for people, three digits. */
export function formatPowerW(powerW: number): string {
  return powerW === 0 ? '0W' : formatScaled(powerW, WATTS);
}

/** An energy for people, three digits. */
export function formatEnergyJ(energyJ: number): string {
  return energyJ === 0 ? '0J' : formatScaled(energyJ, JOULES);
}

/** A temperature for people, one digit after the point. */
export function formatTempC(tempC: number): string {
  return Number.isFinite(tempC) ? `${Number(tempC.toFixed(1))}C` : '-';
}
