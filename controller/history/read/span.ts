import { ceilTo, floorTo, type Horizons, type Resolution, ROW_MS, type RollUp } from './plan.ts';
import type { Source, Unrolled } from './source.ts';

/** How long each resolution is kept, milliseconds; 0: forever. */
export interface Kept {
  readonly rawMs: number;
  readonly minuteMs: number;
  readonly hourMs: number;
  readonly dayMs: number;
}

/** What the history has of time. */
export interface Extent {
  readonly horizons: Horizons;
  /** Whole days; undefined: there is nothing. */
  readonly first: number | undefined;
  readonly rolledUp: number;
  readonly unrolled: Unrolled | undefined;
}

type Firsts = Readonly<Record<Resolution, number | undefined>>;

/** There is nothing of this resolution. */
const NOTHING = Number.MAX_SAFE_INTEGER;

/**
 * From when on which resolution is kept. What is configured says so; where less is there (the time was
 * shorter before, or a finer resolution was never made) the first row of the fleet says more.
 * @param kept what is configured; undefined: nothing is said
 */
export function extentOf(source: Source, kept: Kept | undefined, now: number): Extent {
  const rolledUp = source.rolledUp();
  const unrolled = source.unrolled(rolledUp);
  const firsts = firstsOf(source, kept);
  const there = horizonsOfData(firsts);
  const horizonOf = (resolution: Resolution): number => {
    const keptMs = kept?.[`${resolution}Ms`] ?? 0;
    return Math.max(keptMs === 0 ? 0 : now - keptMs, there[resolution]);
  };
  const known = [...Object.values(firsts), unrolled?.first].filter((each) => each !== undefined);
  return {
    horizons: {
      raw: horizonOf('raw'),
      minute: horizonOf('minute'),
      hour: horizonOf('hour'),
      day: horizonOf('day'),
    },
    first: known.length === 0 ? undefined : floorTo(Math.min(...known), ROW_MS.day),
    rolledUp,
    unrolled,
  };
}

/** Where the rows of each resolution begin. */
function firstsOf(source: Source, kept: Kept | undefined): Firsts {
  const fleet = source.seriesOf('fleet', '');
  const firstOf = (table: RollUp) => (fleet === undefined ? undefined : source.firstOf(table, fleet));
  const minute = firstOf('minute');
  // The first one of all devices is a look at each of them: only where nothing else says it.
  const raw = kept === undefined || minute === undefined ? source.firstWindow() : undefined;
  const isThere = raw !== undefined || source.hasWindows();
  return { raw: raw ?? (isThere ? minute : undefined), minute, hour: firstOf('hour'), day: firstOf('day') };
}

/**
 * A resolution that begins a whole coarser row later than the coarser one is not kept before that. One that
 * begins with it is kept from where that is.
 */
function horizonsOfData(firsts: Firsts): Horizons {
  const after = (resolution: Resolution, coarser: RollUp, horizon: number): number => {
    const before = firsts[coarser];
    const first = firsts[resolution] ?? NOTHING;
    return before !== undefined && first >= before + ROW_MS[coarser] ? first : horizon;
  };
  const hour = after('hour', 'day', 0);
  const minute = after('minute', 'hour', hour);
  return { day: 0, hour, minute, raw: after('raw', 'minute', minute) };
}

/**
 * Up to when rows may be taken whole: where the history ends before `until`, a row that reaches beyond it holds
 * nothing from there.
 * @param hasWindowFrom whether a raw window of the devices lies at a time or after it
 */
export function openEnd(source: Source, until: number, hasWindowFrom: (ts: number) => boolean): number {
  if (hasWindowFrom(until)) return until;
  const fleet = source.seriesOf('fleet', '');
  if (fleet === undefined) return until;
  const isBeyond = (['minute', 'hour', 'day'] as const).some(
    (table) => (source.lastOf(table, fleet) ?? Number.NEGATIVE_INFINITY) >= until,
  );
  return isBeyond ? until : ceilTo(until, ROW_MS.day);
}
