/** Raw windows, or rows of a roll-up, by the length of what one of them covers. */
export const RESOLUTIONS = ['raw', 'minute', 'hour', 'day'] as const;
export type Resolution = (typeof RESOLUTIONS)[number];
export type RollUp = Exclude<Resolution, 'raw'>;

/** Length of a row, milliseconds; a window lies at one moment. */
export const ROW_MS = { raw: 1, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const satisfies Record<
  Resolution,
  number
>;

/** From when on each resolution is complete, milliseconds since the epoch; before it there may be nothing. */
export type Horizons = Readonly<Record<Resolution, number>>;

/** Rows that begin (windows that lie) in `from`..`to` are read at this resolution; `to` is not included. */
export interface Segment {
  readonly resolution: Resolution;
  readonly from: number;
  readonly to: number;
  /** Index of the bucket that all of them count for. */
  readonly bucket: number;
}

/** Segments of one resolution and of one source that follow each other, whatever their buckets. */
export type Read = Omit<Segment, 'bucket'>;

export interface PlanInput {
  /** Edges of the buckets, rising. */
  readonly edges: readonly number[];
  /** What is asked of them; `until` is not included. */
  readonly since: number;
  readonly until: number;
  readonly horizons: Horizons;
}

/**
 * Which rows answer for which bucket: of every span the longest rows that fit into its bucket, shorter ones
 * and raw windows at its edges where these are kept. Where nothing shorter is kept a row counts for the
 * bucket in which it begins. Every moment of the span is covered at most once; by none only where
 * nothing is kept, or where a row that cannot be divided begins before the span.
 * @returns segments by their time
 */
export function planOf({ edges, since, until, horizons }: PlanInput): Segment[] {
  const kept = alignedHorizons(horizons);
  const segments: Segment[] = [];
  for (let bucket = 0; bucket + 1 < edges.length; bucket += 1) {
    const from = Math.max(edges[bucket] ?? since, since);
    const to = Math.min(edges[bucket + 1] ?? until, until);
    const emit = (resolution: Resolution, start: number, end: number): void => {
      if (start < end) segments.push({ resolution, from: start, to: end, bucket });
    };
    cut({ kept, emit }, from, to, RESOLUTIONS.length - 1);
  }
  return segments;
}

interface Cutting {
  readonly kept: readonly number[];
  emit(resolution: Resolution, from: number, to: number): void;
}

/**
 * Before its horizon a resolution gives way to the finest coarser one that is kept there. A row of that one
 * must not lie on both sides: it would be used for what is before, and the finer ones for what is after. So
 * the horizon is taken up to where such a row begins.
 */
function alignedHorizons(horizons: Horizons): number[] {
  const kept: number[] = [];
  for (const [index, resolution] of [...RESOLUTIONS.entries()].reverse()) {
    const horizon = Math.max(horizons[resolution], 0);
    const coarser = RESOLUTIONS.findIndex((_, other) => other > index && (kept[other] ?? 0) <= horizon);
    kept[index] = ceilTo(horizon, ROW_MS[RESOLUTIONS[coarser] ?? resolution]);
  }
  return kept;
}

/** Covers a span by rows of this resolution and of finer ones. */
function cut(cutting: Cutting, from: number, to: number, index: number): void {
  if (from >= to) return;
  const resolution = RESOLUTIONS[index] ?? 'raw';
  const first = Math.max(ceilTo(from, ROW_MS[resolution]), cutting.kept[index] ?? 0);
  if (index === 0) {
    const start = Math.min(first, to);
    undivided(cutting, from, start);
    cutting.emit('raw', start, to);
    return;
  }
  const last = floorTo(to, ROW_MS[resolution]);
  if (first >= last) {
    cut(cutting, from, to, index - 1);
    return;
  }
  cut(cutting, from, first, index - 1);
  cutting.emit(resolution, first, last);
  cut(cutting, last, to, index - 1);
}

/** Covers a span that no whole row fits into by the finest rows there are: those that begin in it. */
function undivided(cutting: Cutting, from: number, to: number): void {
  let end = to;
  const taken: [Resolution, number, number][] = [];
  for (let index = 1; index < RESOLUTIONS.length && from < end; index += 1) {
    const resolution = RESOLUTIONS[index] ?? 'day';
    const start = Math.max(from, cutting.kept[index] ?? 0);
    if (start >= end) continue;
    taken.unshift([resolution, ceilTo(start, ROW_MS[resolution]), ceilTo(end, ROW_MS[resolution])]);
    end = start;
  }
  for (const segment of taken) cutting.emit(...segment);
}

/** Joins what can be read in one go. */
export function readsOf(segments: readonly Segment[]): Read[] {
  const reads: Read[] = [];
  const open = new Map<Resolution, Read>();
  for (const { resolution, from, to } of segments) {
    const before = open.get(resolution);
    const isNext = before !== undefined && before.to === from;
    if (before !== undefined && !isNext) reads.push(before);
    open.set(resolution, { resolution, from: isNext ? before.from : from, to });
  }
  return [...reads, ...open.values()].sort((a, b) => a.from - b.from);
}

/** What of a read lies before a time, and what after it. */
export function splitRead(read: Read, ts: number): { before: Read | undefined; after: Read | undefined } {
  const before = { ...read, to: Math.min(read.to, ts) };
  const after = { ...read, from: Math.max(read.from, ts) };
  return {
    before: before.from < before.to ? before : undefined,
    after: after.from < after.to ? after : undefined,
  };
}

export function ceilTo(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

export function floorTo(value: number, step: number): number {
  return Math.floor(value / step) * step;
}
