import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { Clock } from '../../shared/clock.ts';
import type { Alerting } from '../alerts/alerting.ts';
import type { Commands } from '../commands/commands.ts';
import type { DesiredState } from '../desired/desired.ts';
import type { BackupResult } from '../history/backup/backup.ts';
import type { History } from '../history/history.ts';
import type { Retention } from '../history/rollup/retention.ts';
import type { Keys } from '../keys/keys.ts';
import type { Devices } from '../registry/devices.ts';
import type { Groups } from '../registry/groups.ts';
import type { Releases } from '../releases/releases.ts';
import type { Rollouts } from '../rollouts/rollouts.ts';
import type { ControllerState } from './schemas.ts';

/** What the routes answer from. */
export interface ApiContext {
  readonly clock: Clock;
  readonly devices: Devices;
  readonly groups: Groups;
  readonly desired: DesiredState;
  readonly commands: Commands;
  readonly keys: Keys;
  readonly releases: Releases;
  readonly rollouts: Rollouts;
  readonly history: Omit<History, 'commit' | 'rollUp' | 'retain' | typeof Symbol.asyncDispose>;
  /** How long the history keeps what. */
  readonly retention: Retention;
  readonly alerts: Pick<Alerting, 'list'>;
  /** Backs up all that is kept. */
  readonly backup: () => Promise<BackupResult>;
  readonly state: () => Promise<ControllerState>;
}

/** The HTTP server as routes see it: handlers get the types of their schemas. */
export type Server = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
