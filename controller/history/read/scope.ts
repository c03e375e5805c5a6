import type { Source } from './source.ts';

export interface KnownDevice {
  /** Number of its series. */
  readonly id: number;
  readonly name: string;
}

/** Whose telemetry a question is about. */
export interface Scope {
  /** Those that the history knows. */
  readonly devices: readonly KnownDevice[];
  /** How many the question is about. */
  readonly asked: number;
  /** They are all there are. */
  readonly isFleet: boolean;
  /** The series in which they are merged already, and from when on: the fleet's or a group's. */
  readonly merged: { readonly series: number; readonly fromTs: number } | undefined;
}

/**
 * Finds the devices of a question, and whether their merged series will do.
 * @param names undefined: all
 */
export function scopeOf(
  source: Source,
  names: readonly string[] | undefined,
  mergedGroup: () => { readonly series: number; readonly fromTs: number } | undefined,
): Scope {
  const known = source.devices();
  const wanted = names === undefined ? undefined : new Set(names);
  const devices: KnownDevice[] = [];
  for (const [id, name] of known) {
    if (wanted === undefined || wanted.has(name)) devices.push({ id, name });
  }
  const isFleet = devices.length === known.size;
  const fleet = isFleet ? source.seriesOf('fleet', '') : undefined;
  const merged = fleet === undefined ? (isFleet ? undefined : mergedGroup()) : { series: fleet, fromTs: 0 };
  return { devices, asked: wanted?.size ?? known.size, isFleet, merged };
}
