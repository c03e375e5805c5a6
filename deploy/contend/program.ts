import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Command, Option } from 'commander';
import { parseChoice } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { siblingModule } from '../../shared/package.ts';
import { runProgram, stopSignal, tellParent } from '../../shared/program.ts';
import { allowedCores } from './cores.ts';
import { machineMs } from './monotonic.ts';
import { CONTENTION_KINDS, type ContentionScript, parseSteps, parseWorkers } from './script.ts';
import type { ContenderThread } from './worker.ts';

/** Runs the contender with the arguments of this process; returns the exit status. */
export function run(): Promise<number> {
  return runProgram({ name: 'contend', build: contendCommand });
}

function contendCommand(): Command {
  return new Command('contend')
    .description('Loads the CPU by a script, so that something else has to live with it.')
    .addOption(new Option('--kind <kind>', 'what keeps it busy').choices(CONTENTION_KINDS).default('memory'))
    .addOption(new Option('--workers <n>', 'threads that each follow the script').default('1'))
    .requiredOption(
      '--script <steps>',
      'load over time, for example 0s=0%,5s=90%,15s=0%; it ends with the last',
    )
    .addOption(new Option('--start <ms>', "when it begins, of the machine's monotonic clock; without it now"))
    .action(async (given: Record<string, string | undefined>) => {
      const script: ContentionScript = {
        kind: parseChoice(given['kind'] ?? '', CONTENTION_KINDS, '--kind'),
        workers: parseWorkers(given['workers'] ?? '', '--workers'),
        steps: parseSteps(given['script'] ?? '', '--script'),
      };
      await contend(script, startOf(given['start']));
    });
}

function startOf(text: string | undefined): number {
  if (text === undefined) return machineMs();
  const startMs = Number(text);
  if (text !== '' && Number.isFinite(startMs)) return startMs;
  throw new AppError('usage', `--start: '${text}' is not a time of the monotonic clock in milliseconds`);
}

/** Ends with the script, when it is told to stop, or with the process that started it; the threads with it. */
async function contend(script: ContentionScript, startMs: number): Promise<void> {
  const stopped = stopSignal();
  const cores = allowedCores();
  const threads = Array.from({ length: script.workers }, (_, index) => {
    const core = cores[index % cores.length];
    const workerData: ContenderThread = { script, startMs, phase: index / script.workers, core };
    return new Worker(siblingModule(import.meta.url, 'worker'), { name: 'contender', workerData });
  });
  const ended = Promise.all(threads.map((thread) => once(thread, 'exit')));
  await Promise.race([Promise.all(threads.map((thread) => once(thread, 'online'))), ended]);
  tellParent({ type: 'ready' });
  await Promise.race([stopped, ended]);
}
