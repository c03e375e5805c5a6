import { AppError, describeError } from '../../../shared/errors.ts';
import { isFull, type Sqlite } from '../../../shared/sqlite.ts';
import { convertOldRows } from '../migrations-rows.ts';
import { checkpoint } from '../rollup/checkpoint.ts';
import { createRetentionCore } from '../rollup/retention.ts';
import { createRollUpCore } from '../rollup/roll-up.ts';
import { createCommitCore } from '../write/commit.ts';
import { type ThreadData, unpackPackets, type WriterApi } from './api.ts';
import { openHistoryDatabase } from './database.ts';
import { createJobs } from './jobs.ts';
import { serve } from './rpc.ts';

serve<WriterApi, ThreadData>(({ stateDir, maxBytes }) => {
  const sqlite = openHistoryDatabase(stateDir);
  if (maxBytes !== undefined) limitSize(sqlite, maxBytes);
  // What is asked before all old rows are moved over would miss some, and repeats of them be new.
  for (const _ of convertOldRows(sqlite));
  const core = createCommitCore(sqlite);
  const rollUps = createRollUpCore(sqlite);
  const retentions = createRetentionCore(sqlite, core.forget);
  const jobs = createJobs();
  return {
    handlers: {
      commit: ({ packets, receivedTs }) => storing(() => core.commit(unpackPackets(packets), receivedTs)),
      rollUp: ({ groups }) => storing(() => jobs.run(() => rollUps.rollUp(groups))),
      retain: ({ retention, nowTs }) => storing(() => jobs.run(() => retentions.retain(retention, nowTs))),
      checkpoint: () => storing(() => checkpoint(sqlite)),
      raise: (alarm) => storing(() => core.raise(alarm)),
    },
    close: async () => {
      await jobs.stop();
      sqlite.close();
    },
  };
});

/** Says in words when there is no room. */
async function storing<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isFull(cause)) throw cause;
    const text = `the disk is full: nothing can be stored (${describeError(cause)})`;
    throw new AppError('system', text, { cause });
  }
}

function limitSize(sqlite: Sqlite, maxBytes: number): void {
  const pageBytes = Number(sqlite.pragma('page_size', { simple: true }));
  sqlite.pragma(`max_page_count = ${Math.max(1, Math.floor(maxBytes / pageBytes))}`);
}
