import { AppError } from '../../../shared/errors.ts';
import type { Sqlite } from '../../../shared/sqlite.ts';
import { type Zone, zoneOf } from '../../../shared/zone.ts';
import type { Split, TelemetryAnswer, TelemetryQuery } from '../../api/history-schemas.ts';
import { aggregateOf, checkSplit, unitOf } from './aggregates.ts';
import { type Bucketing, edgesOf, usualLengthMs } from './buckets.ts';
import { type Collection, createCollection } from './collect.ts';
import {
  type Cells,
  type Filling,
  fillDevice,
  fillParts,
  fillScope,
  MAX_ROWS,
  type Stretch,
} from './fill.ts';
import { createGapSource, type GapSource } from './gap-source.ts';
import { mergedGroupOf } from './groups.ts';
import { type Aggregate, type MetricRule, ruleOf } from './metrics.ts';
import { planOf, type Read, ROW_MS, readsOf } from './plan.ts';
import { type Scope, scopeOf } from './scope.ts';
import { createSource, type Source } from './source.ts';
import { type Extent, extentOf, type Kept, openEnd } from './span.ts';

export interface TelemetryQuestion {
  readonly query: Omit<TelemetryQuery, 'device' | 'group' | 'selector'>;
  /** Whom it is about; undefined: all. */
  readonly devices: readonly string[] | undefined;
  /** The group whose members these devices are, where it is about a group: its roll-ups are faster. */
  readonly group?: string | undefined;
  /** How long each resolution is kept; undefined: what is there says so. */
  readonly kept?: Kept | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface QueryCore {
  /**
   * Answers a question about the history, as it is at one moment.
   * @throws AppError `usage` when the question makes no sense, or its answer would be too large
   */
  query(question: TelemetryQuestion): TelemetryAnswer;
}

/** Buckets whose summaries are in memory at a time, at most. */
const STRETCH_BUCKETS = 512;
/** Memory of their sketches, bytes. */
const MAX_CELL_BYTES = 64 * 1024 * 1024;
const DAY_MS = 86_400_000;

/** Questions on a connection that is only read. */
export function createQueryCore(sqlite: Sqlite): QueryCore {
  const source = createSource(sqlite);
  const gaps = createGapSource(sqlite);
  // Roll-ups and what is not in them yet must be of the same moment.
  const read = sqlite.transaction((question: TelemetryQuestion) => answer({ source, gaps }, question));
  return { query: (question) => read(question) };
}

/** A question that makes sense. */
interface Asked {
  readonly rule: MetricRule;
  readonly aggregate: Aggregate;
  readonly by: Split | undefined;
  readonly bucketing: Bucketing;
  readonly zone: Zone;
  /** Begin of the first bucket. */
  readonly since: number;
  readonly until: number;
  readonly now: number;
}

function answer(
  { source, gaps }: { readonly source: Source; readonly gaps: GapSource },
  question: TelemetryQuestion,
): TelemetryAnswer {
  const { query, kept, now } = question;
  const { name, aggregate } = aggregateOf(query.metric, query.aggregate);
  const asked = askedOf(question, aggregate);
  const { since, until, bucketing, zone } = asked;
  const scope = scopeOf(source, question.devices, () => mergedGroupOf(source, question));
  const extent = extentOf(source, kept, now);
  const collection = createCollection(asked);
  const resolutionMs = collect({ source, budget: { rows: MAX_ROWS }, scope, extent, asked }, collection);
  return {
    metric: query.metric,
    unit: unitOf(query.metric, aggregate.kind),
    aggregate: name,
    since,
    until,
    bucketMs: bucketing === undefined ? until - since : usualLengthMs(bucketing),
    timeZone: zone.name,
    resolutionMs,
    devices: scope.asked,
    redated: collection.redated,
    late: collection.late,
    lost: gaps.lostIn(scope.isFleet ? undefined : scope.devices, since, until),
    series: collection.series(),
  };
}

function askedOf({ query, now }: TelemetryQuestion, aggregate: Aggregate): Asked {
  const { metric, by, bucketMs, bucket, timeZone = 'UTC', until = now } = query;
  if (until < query.since) throw new AppError('usage', `until (${until}) lies before since (${query.since})`);
  if (bucketMs !== undefined && bucket !== undefined) {
    throw new AppError('usage', 'name one of bucketMs and bucket');
  }
  checkSplit(metric, by);
  const zone = zoneOf(timeZone);
  const bucketing =
    bucketMs !== undefined ? { ms: bucketMs } : bucket !== undefined ? { unit: bucket } : undefined;
  const [since = query.since] =
    bucketing === undefined ? [] : edgesOf({ since: query.since, until: query.since + 1 }, bucketing, zone);
  return { rule: ruleOf(metric), aggregate, by, bucketing, zone, since, until, now };
}

interface Work {
  readonly source: Source;
  readonly budget: Filling['budget'];
  readonly scope: Scope;
  readonly extent: Extent;
  readonly asked: Asked;
}

/** Goes through time stretch by stretch; returns the length of the longest row that was read, milliseconds. */
function collect(work: Work, collection: Collection): number {
  const { source, scope, extent, asked } = work;
  if (extent.first === undefined) return 0;
  // Years in which there is nothing need no buckets.
  const since = Math.max(asked.since, extent.first);
  const until = Math.min(asked.until, asked.now + DAY_MS);
  if (since >= until) return 0;
  const [only] = scope.devices;
  const hasWindowFrom = (ts: number): boolean =>
    scope.devices.length === 1 && only !== undefined
      ? source.hasWindowFrom(only.id, ts)
      : source.isAnyWindowFrom(ts);
  const end = openEnd(source, until, hasWindowFrom);
  const edges =
    asked.bucketing === undefined
      ? [asked.since, Math.max(asked.until, end)]
      : edgesOf({ since, until }, asked.bucketing, asked.zone);
  let resolutionMs = 0;
  for (let first = 0; first + 1 < edges.length; first += STRETCH_BUCKETS) {
    const part = edges.slice(first, first + STRETCH_BUCKETS + 1);
    const from = Math.max(since, part[0] ?? since);
    const to = Math.min(end, first + STRETCH_BUCKETS + 1 < edges.length ? (part.at(-1) ?? end) : end);
    const reads = readsOf(planOf({ edges: part, since: from, until: to, horizons: extent.horizons }));
    collectStretch(work, collection, { edges: part, reads, since: from, until: Math.min(to, until) });
    // Rows that begin at the end or after it are read for what lies before it, and hold nothing else.
    resolutionMs = Math.max(resolutionMs, longestOf(reads.filter((read) => read.from < until)));
  }
  return resolutionMs;
}

function longestOf(reads: readonly Read[]): number {
  const lengths = reads.map(({ resolution }) => (resolution === 'raw' ? 0 : ROW_MS[resolution]));
  return lengths.reduce<number>((a, b) => Math.max(a, b), 0);
}

function collectStretch(
  { source, budget, scope, extent, asked }: Work,
  collection: Collection,
  whole: Stretch,
): void {
  const { rule, aggregate, by } = asked;
  const columns = aggregate.kind === 'percentile' ? rule.distribution : undefined;
  const filling: Filling = { source, extent, columns, budget, maxBytes: MAX_CELL_BYTES };
  const put = (fill: (part: Stretch) => Cells, device: string, devices: number): void => {
    for (const [part, cells] of fillParts(whole, fill)) {
      for (const [bucket, summary] of cells.summaries) {
        const { ts, lengthMs } = bucketOf(part, bucket, asked);
        collection.add({ ts, summary, device, deviceMs: lengthMs * devices });
      }
    }
  };
  // A rate is over the time that a device reported: a gap of one neither counts nor dilutes the others.
  if (by !== 'device' && aggregate.kind !== 'rate') {
    // Devices that have never sent anything are asked about too: their time is not reported.
    put((part) => fillScope(filling, part, scope), '', scope.asked);
    return;
  }
  for (const { id, name } of scope.devices) put((part) => fillDevice(filling, part, id), name, 1);
}

/** Where a bucket begins, and how much of it is asked for and has been. */
function bucketOf(
  { edges }: Stretch,
  bucket: number,
  { since, until, now }: Asked,
): { readonly ts: number; readonly lengthMs: number } {
  const ts = edges[bucket] ?? since;
  const end = Math.min(edges[bucket + 1] ?? until, until, now);
  return { ts, lengthMs: Math.max(0, end - Math.max(ts, since)) };
}
