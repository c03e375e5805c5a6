import type { Clock } from '../../shared/clock.ts';
import type { Command } from '../../shared/protocol/command.ts';
import { explain } from '../explain/answer.ts';
import type { ExplainRing } from '../explain/ring.ts';
import type { Answer } from './commands.ts';

/** The handler of the command `explain`: this device's decisions, in words and as data. */
export function explainCommand(ring: ExplainRing, clock: Clock): (command: Command) => Answer {
  return ({ at, since, limit }) => ({
    state: 'done',
    ...explain(ring, { at, since, ...(limit === undefined ? {} : { limit }) }, clock.now()),
  });
}
