import { statSync } from 'node:fs';
import { copySqlite } from '../../../shared/sqlite.ts';
import { problemsOfHistory } from '../backup/integrity.ts';
import type { CareApi, ThreadData } from './api.ts';
import { openHistoryReader } from './database.ts';
import { serve } from './rpc.ts';

serve<CareApi, ThreadData>(({ stateDir }) => {
  const sqlite = openHistoryReader(stateDir);
  return {
    handlers: {
      problems: ({ isDeep }) => problemsOfHistory(sqlite, isDeep),
      copy: async ({ path }) => {
        // Without an open transaction every commit of the writer would start the copying anew.
        sqlite.exec('BEGIN');
        try {
          const windows = sqlite.prepare("SELECT rows FROM counts WHERE name = 'windows'").pluck().get();
          await copySqlite(sqlite, path);
          return { windows: Number(windows), bytes: statSync(path).size };
        } finally {
          sqlite.exec('COMMIT');
        }
      },
    },
    close: () => {
      sqlite.close();
    },
  };
});
