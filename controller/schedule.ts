import { createTask } from 'node-cron';
import { type BackoffPolicy, type Random, supervise } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';

/** Work that is done again and again; each run takes up whatever those before it left. */
export interface Job {
  readonly name: string;
  /** When it runs, as a cron expression of five fields (or six, with seconds). */
  readonly cron: string;
  readonly run: (signal: AbortSignal) => Promise<unknown>;
}

export interface ScheduleDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Told of every run that ended, with how long it took and, where it failed, why. */
  readonly onRun?: (job: string, durationMs: number, error?: unknown) => void;
  /** The first moment after now that fits a cron expression, milliseconds since the epoch. */
  readonly nextRun?: (cron: string) => number;
}

/** No timer is set for longer: a clock that was put right must be noticed. */
const LONGEST_SLEEP_MS = 3_600_000;
/** Timers may fire a little early; a run must not come twice. */
const MARGIN_MS = 20;
const RESTART: BackoffPolicy = { firstMs: 1_000, capMs: 60_000 };

/**
 * Runs every job now, to catch up on what was missed while nothing ran, and then at its times. Two runs of one
 * job never overlap; one that fails is logged and comes again at its next time.
 *
 * Of node-cron only the reckoning of times is used, not its timers: those walk through every minute that a
 * clock was put forward by, which holds up everything for minutes, and wait for years when it was put back.
 * @throws Error when a cron expression is none
 */
export function scheduleJobs(jobs: readonly Job[], deps: ScheduleDeps): AsyncDisposable {
  const { clock, random, log, nextRun = nextByCron } = deps;
  for (const { cron } of jobs) nextRun(cron);
  const stopping = new AbortController();
  const loops = jobs.map((job) => {
    const onFault = (error: unknown) => log.error({ err: error, job: job.name }, 'a job is started again');
    const loop = async (signal: AbortSignal): Promise<void> => {
      for (;;) {
        await runOnce(job, deps, signal);
        await sleepUntil(nextRun(job.cron), clock, signal);
      }
    };
    return supervise(loop, stopping.signal, { clock, random, policy: RESTART, onFault });
  });
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

async function runOnce(job: Job, { clock, log, onRun }: ScheduleDeps, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const startedMs = clock.monoMs();
  let failure: unknown;
  try {
    await job.run(signal);
  } catch (error) {
    failure = error;
    if (!signal.aborted)
      log.error({ err: error, job: job.name }, 'a job failed; it runs again at its next time');
  }
  onRun?.(job.name, clock.monoMs() - startedMs, failure);
}

async function sleepUntil(ts: number, clock: Clock, signal: AbortSignal): Promise<void> {
  await clock.sleep(Math.min(Math.max(0, ts - clock.now()) + MARGIN_MS, LONGEST_SLEEP_MS), signal);
}

/**
 * The first moment after now that fits a cron expression, milliseconds since the epoch.
 * @param zone IANA name of the time zone that it is read in; that of the machine where it is not given
 * @throws Error when the expression is none, or never comes
 */
export function nextByCron(cron: string, zone?: string): number {
  // Never started: it only reckons.
  const [next] = taskOf(cron, zone).getNextRuns(1);
  if (next === undefined) throw new Error(`'${cron}' never comes`);
  return next.getTime();
}

/**
 * Whether a full minute fits a cron expression of five fields.
 * @param zone IANA name of the time zone that it is read in
 * @throws Error when the expression is none
 */
export function minutesOfCron(cron: string, zone: string): (ts: number) => boolean {
  const task = taskOf(cron, zone);
  return (ts) => task.match(new Date(ts));
}

function taskOf(cron: string, zone: string | undefined) {
  return createTask(cron, () => undefined, zone === undefined ? {} : { timezone: zone });
}
