import { formatTime } from '../shared/cli/format.ts';
import { formatDurationMs, formatEnergyJ, formatPowerW, formatTempC } from '../shared/units.ts';

/** Lines of a status for people: every value that is not nested deeper than once, by its name. */
export function describeStatus(status: unknown): string {
  return linesOf(status, '')
    .map(([name, value]) => `${name.padEnd(30)} ${value}\n`)
    .join('');
}

function linesOf(value: unknown, prefix: string): [name: string, value: string][] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => linesOf(item, `${prefix}[${index}]`));
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, item]) =>
      linesOf(item, prefix === '' ? key : `${prefix}.${key}`),
    );
  }
  return value === undefined ? [] : [[prefix, textOf(prefix, value)]];
}

/** How numbers are written whose names end so. */
const UNITS = [
  { ending: /Ms$/, format: formatDurationMs },
  { ending: /\bts$/, format: formatTime },
  { ending: /[a-z]W$/, format: formatPowerW },
  { ending: /[a-z]J$/, format: formatEnergyJ },
  { ending: /\btempC$/, format: formatTempC },
] as const;

function textOf(name: string, value: unknown): string {
  if (typeof value !== 'number') return String(value);
  const unit = UNITS.find(({ ending }) => ending.test(name));
  return unit === undefined ? String(Number(value.toPrecision(6))) : unit.format(value);
}
