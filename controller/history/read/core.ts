import type { Sqlite } from '../../../shared/sqlite.ts';
import { createEventCore, type EventCore } from './events.ts';
import { createExportCore, type ExportCore } from './export.ts';
import { createGapCore, type GapCore } from './gaps.ts';
import { createLatestCore, type LatestCore } from './latest.ts';
import { createQueryCore, type QueryCore } from './query.ts';
import { createTailCore, type TailCore } from './tail.ts';

/** All that is asked of the history; each answer is of one moment. */
export type ReadCore = QueryCore & LatestCore & EventCore & GapCore & TailCore & ExportCore;

/** The same from another thread. */
export type AsyncReads = {
  readonly [K in keyof ReadCore]: (question: Parameters<ReadCore[K]>[0]) => Promise<ReturnType<ReadCore[K]>>;
};

/** Answers on a connection that is only read, and only by this. */
export function createReadCore(sqlite: Sqlite): ReadCore {
  return {
    ...createQueryCore(sqlite),
    ...createLatestCore(sqlite),
    ...createEventCore(sqlite),
    ...createGapCore(sqlite),
    ...createTailCore(sqlite),
    ...createExportCore(sqlite),
  };
}
