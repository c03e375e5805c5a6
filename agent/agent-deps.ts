import type { Random } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import type { AppError } from '../shared/errors.ts';
import type { Logging } from '../shared/log.ts';
import type { AgentConfig } from './config.ts';
import type { ServingDeps } from './serving.ts';

/** What an agent is given by its program: everything of the outside that it does not open itself. */
export interface AgentDeps {
  readonly config: AgentConfig;
  readonly logging: Logging;
  readonly clock: Clock;
  readonly random: Random;
  /** Makes an id that was never used: of this boot, of a session. */
  readonly newId: () => string;
  /** The engine can serve no more and the process must end, without running exit handlers. */
  readonly onFatal: (error: AppError) => void;
  /** Gives up a start that is under way: the first one measures for seconds. */
  readonly signal?: AbortSignal;
  /** How long a family is measured, instead of what is usual. */
  readonly profiling?: NonNullable<ServingDeps['profiling']>;
}
