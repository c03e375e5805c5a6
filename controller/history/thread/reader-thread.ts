import { createReadCore } from '../read/core.ts';
import type { ReaderApi, ThreadData } from './api.ts';
import { createCounts } from './counts.ts';
import { historyPath, openHistoryReader } from './database.ts';
import { serve } from './rpc.ts';

serve<ReaderApi, ThreadData>(({ stateDir }) => {
  const sqlite = openHistoryReader(stateDir);
  return {
    handlers: { ...createReadCore(sqlite), counts: createCounts(sqlite, historyPath(stateDir)) },
    close: () => {
      sqlite.close();
    },
  };
});
