import { formatDurationMs } from '../shared/units.ts';

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
  return [[prefix, textOf(prefix, value)]];
}

function textOf(name: string, value: unknown): string {
  if (typeof value === 'number' && name.endsWith('Ms')) return formatDurationMs(value);
  return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
}
