import { ingestFigures } from './history-ingest.ts';
import { outboxFigures } from './history-outbox.ts';
import { queryFigures } from './history-query.ts';
import { sizeFigures } from './history-size.ts';
import type { Bench, Figure } from './report.ts';

/** The parts of the bench, in the order in which they are measured. */
const PARTS: Readonly<Record<string, () => Promise<Figure[]>>> = {
  ingest: ingestFigures,
  query: queryFigures,
  size: sizeFigures,
  outbox: outboxFigures,
};

/** How fast telemetry gets into the history and out of it again, and what it weighs. */
export const historyBench: Bench = {
  summary: 'telemetry: ingest against its limits, latency of queries, sizes, exactness of percentiles',
  parts: PARTS,
  measure: async () => {
    const figures: Figure[] = [];
    for (const part of Object.values(PARTS)) figures.push(...(await part()));
    return figures;
  },
};
