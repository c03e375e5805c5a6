import type { Clock } from '../shared/clock.ts';
import { AppError } from '../shared/errors.ts';
import type { ControllerConfig } from './config.ts';
import type { History } from './history/history.ts';
import type { RollUpResult } from './history/rollup/roll-up.ts';
import type { Devices } from './registry/devices.ts';
import type { Groups } from './registry/groups.ts';
import { membersOf } from './registry/membership.ts';
import type { Job } from './schedule.ts';

export interface JobsDeps {
  readonly history: Pick<History, 'rollUp' | 'retain' | 'checkpoint'>;
  readonly groups: Pick<Groups, 'named'>;
  readonly devices: Pick<Devices, 'all'>;
  readonly retention: ControllerConfig['retention'];
  readonly clock: Clock;
}

/** The history's housekeeping: summaries, the end of what is old, a log that stays short. */
export function jobsOf({ history, groups, devices, retention, clock }: JobsDeps): Job[] {
  const members = () =>
    new Map(groups.named().map((group) => [group.name, membersOf(group, devices.all()).map(({ id }) => id)]));
  return [
    {
      name: 'roll-up',
      cron: '* * * * *',
      run: (signal) => unlessStopped(history.rollUp(members()).then(checkRead), signal),
    },
    // Not at a full hour: the roll-up of the hour that has ended has its turn first.
    {
      name: 'retention',
      cron: '7 * * * *',
      run: (signal) => unlessStopped(history.retain(retention, clock.now()), signal),
    },
    { name: 'checkpoint', cron: '*/5 * * * *', run: () => history.checkpoint() },
  ];
}

/** @throws AppError `system` when some windows could not be read: those that can be are in the summaries */
function checkRead({ damaged }: RollUpResult): void {
  if (damaged === 0) return;
  const windows = damaged === 1 ? '1 stored window' : `${damaged} stored windows`;
  throw new AppError(
    'system',
    `${windows} cannot be read: the database is damaged; look with 'ofa-fleet history integrity'`,
  );
}

/**
 * Waits for work of the history, or until `signal` aborts: what would take minutes is ended by the history
 * itself when it is closed, after the last records were stored.
 */
async function unlessStopped(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  const stop = () => stopped.resolve();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
