import type { Clock } from '../shared/clock.ts';
import type { ControllerConfig } from './config.ts';
import type { History } from './history/history.ts';
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
    { name: 'roll-up', cron: '* * * * *', run: () => history.rollUp(members()) },
    // Not at a full hour: the roll-up of the hour that has ended has its turn first.
    { name: 'retention', cron: '7 * * * *', run: () => history.retain(retention, clock.now()) },
    { name: 'checkpoint', cron: '*/5 * * * *', run: () => history.checkpoint() },
  ];
}
