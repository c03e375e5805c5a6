import type { InferenceSummary } from '../../shared/protocol/explanation.ts';
import type { ProcessingElement } from '../../shared/protocol/window.ts';

/** One inference as it was measured. */
export interface InferenceRecord {
  /** Wall clock at its end, milliseconds since the epoch. */
  readonly ts: number;
  readonly monoMs: number;
  readonly pe: ProcessingElement;
  readonly level: number;
  readonly latencyMs: number;
  /** Latency budget in force; undefined without one. */
  readonly budgetMs: number | undefined;
  readonly missed: boolean;
}

/** The newest inferences, in memory that is taken once and never grows. */
export interface InferenceRing {
  add(record: InferenceRecord): void;
  /** The newest `limit` that ended at or after `since`, oldest first. */
  newest(limit: number, since?: number): InferenceRecord[];
  /** What ended in `since..until`, both included. */
  summary(since: number, until: number): InferenceSummary;
}

/** Their place is their number in the ring. */
const ELEMENTS: readonly ProcessingElement[] = ['cpu', 'gpu'];

/** Makes a ring of so many records: 35 bytes each. */
export function createInferenceRing(capacity: number): InferenceRing {
  const ts = new Float64Array(capacity);
  const monoMs = new Float64Array(capacity);
  const latencyMs = new Float64Array(capacity);
  /** NaN where there was none. */
  const budgetMs = new Float64Array(capacity);
  /** Level and element in one number. */
  const point = new Uint16Array(capacity);
  const missed = new Uint8Array(capacity);
  let added = 0;

  const recordAt = (slot: number): InferenceRecord => ({
    ts: ts[slot] ?? Number.NaN,
    monoMs: monoMs[slot] ?? Number.NaN,
    pe: ELEMENTS[(point[slot] ?? 0) % ELEMENTS.length] ?? 'cpu',
    level: Math.floor((point[slot] ?? 0) / ELEMENTS.length),
    latencyMs: latencyMs[slot] ?? Number.NaN,
    budgetMs: Number.isNaN(budgetMs[slot]) ? undefined : budgetMs[slot],
    missed: missed[slot] === 1,
  });
  /** Slots from the newest to the oldest. */
  function* slots(): Generator<number> {
    for (let back = 1; back <= Math.min(added, capacity); back += 1) yield (added - back) % capacity;
  }
  return {
    add: (record) => {
      const slot = added % capacity;
      ts[slot] = record.ts;
      monoMs[slot] = record.monoMs;
      latencyMs[slot] = record.latencyMs;
      budgetMs[slot] = record.budgetMs ?? Number.NaN;
      point[slot] = record.level * ELEMENTS.length + ELEMENTS.indexOf(record.pe);
      missed[slot] = record.missed ? 1 : 0;
      added += 1;
    },
    newest: (limit, since = Number.NEGATIVE_INFINITY) => {
      const found: InferenceRecord[] = [];
      for (const slot of slots()) {
        if (found.length >= limit) break;
        // Not a reason to stop: the wall clock may have been set in between.
        if ((ts[slot] ?? 0) >= since) found.push(recordAt(slot));
      }
      return found.reverse();
    },
    summary: (since, until) => {
      const ended = [...slots()].filter((slot) => (ts[slot] ?? 0) >= since && (ts[slot] ?? 0) <= until);
      const latencies = ended.map((slot) => latencyMs[slot] ?? 0).filter(Number.isFinite);
      const counts = { inferences: ended.length, misses: ended.filter((slot) => missed[slot] === 1).length };
      if (latencies.length === 0) return { since, until, ...counts };
      const sum = latencies.reduce((total, latency) => total + latency, 0);
      const highest = latencies.reduce((most, latency) => Math.max(most, latency), 0);
      return { since, until, ...counts, latencyMeanMs: sum / latencies.length, latencyMaxMs: highest };
    },
  };
}
