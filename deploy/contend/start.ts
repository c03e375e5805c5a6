import { siblingModule } from '../../shared/package.ts';
import { type RunningProgram, startProgram } from '../demo/processes.ts';
import { type ContentionScript, formatSteps } from './script.ts';

export interface ContenderStart {
  readonly script: ContentionScript;
  /** When the script begins, of the machine's monotonic clock (`machineMs`); it may lie ahead. */
  readonly startMs: number;
  /** File that takes what the contender writes. */
  readonly logFile: string;
}

/**
 * Starts the contender as a process of its own that ends with the script, when it is stopped, or with this
 * process, however that ends.
 * @throws AppError `system` when it does not start
 */
export async function startContender({ script, startMs, logFile }: ContenderStart): Promise<RunningProgram> {
  const { kind, workers } = script;
  return await startProgram({
    module: siblingModule(import.meta.url, 'main'),
    logFile,
    args: [
      ...['--kind', kind, '--workers', String(workers)],
      ...['--script', formatSteps(script), '--start', String(startMs)],
    ],
  });
}
