import { statSync } from 'node:fs';
import type { Sqlite } from '../../../shared/sqlite.ts';

/** A log above this size is emptied and cut; below it is only copied over, and written anew from its start. */
const LARGE_LOG_BYTES = 64 * 1024 * 1024;
/** How long a cut waits for readers, which hold up commits meanwhile; it is tried again at the next time. */
const WAIT_MS = 50;

export interface CheckpointResult {
  /** Size of the write-ahead log before and after it. */
  readonly walBytesBefore: number;
  readonly walBytes: number;
  /** Whether readers kept a part of the log from being copied over. */
  readonly isBusy: boolean;
}

/**
 * Copies the write-ahead log into the database, so that it is written from its start again, and cuts it when
 * a long reader has let it grow.
 * @param largeBytes from which size on it is cut
 */
export function checkpoint(sqlite: Sqlite, largeBytes = LARGE_LOG_BYTES): CheckpointResult {
  const walBytesBefore = logBytes(sqlite);
  const isBusy = run(sqlite, 'PASSIVE');
  if (walBytesBefore <= largeBytes) return { walBytesBefore, walBytes: logBytes(sqlite), isBusy };
  const usualMs = Number(sqlite.pragma('busy_timeout', { simple: true }));
  sqlite.pragma(`busy_timeout = ${WAIT_MS}`);
  try {
    const isStillBusy = run(sqlite, 'TRUNCATE');
    return { walBytesBefore, walBytes: logBytes(sqlite), isBusy: isStillBusy };
  } finally {
    sqlite.pragma(`busy_timeout = ${usualMs}`);
  }
}

/** @returns whether something of the log is left to do */
function run(sqlite: Sqlite, mode: 'PASSIVE' | 'TRUNCATE'): boolean {
  const [row] = sqlite.pragma(`wal_checkpoint(${mode})`) as {
    busy: number;
    log: number;
    checkpointed: number;
  }[];
  return row !== undefined && (row.busy !== 0 || row.checkpointed < row.log);
}

function logBytes({ name }: Sqlite): number {
  return statSync(`${name}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}
