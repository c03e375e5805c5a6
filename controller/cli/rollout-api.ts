import type { Static } from 'typebox';
import type { Rollout, RolloutDetail, RolloutListSchema, RolloutStart } from '../api/rollout-schemas.ts';
import { createClient } from './client.ts';
import type { Cli } from './context.ts';
import { findCredentials } from './credentials.ts';

/** What an operator tells a rollout. */
export type RolloutDeed = 'pause' | 'resume' | 'abort' | 'undo';

/** What was asked for; what is left out has the API's default. */
export type RolloutRequest = Partial<RolloutStart> & Pick<RolloutStart, 'release' | 'target'>;

/** The controller's calls that are about rollouts. */
export interface RolloutApi {
  start(request: RolloutRequest): Promise<RolloutDetail>;
  /** Newest first. */
  list(): Promise<Rollout[]>;
  show(id: string): Promise<RolloutDetail>;
  tell(id: string, deed: RolloutDeed, body?: Readonly<Record<string, unknown>>): Promise<RolloutDetail>;
}

/** The rollouts of the controller that we are logged in to. Nothing is connected before the first call. */
export async function connectRollouts({ env }: Pick<Cli, 'env'>): Promise<RolloutApi> {
  const client = createClient(await findCredentials(env));
  const path = '/v1/rollouts';
  return {
    start: (body) => client({ method: 'POST', path, body }),
    list: async () => (await client<Static<typeof RolloutListSchema>>({ method: 'GET', path })).rollouts,
    show: (id) => client({ method: 'GET', path: `${path}/${id}` }),
    tell: (id, deed, body) =>
      client({ method: 'POST', path: `${path}/${id}/${deed}`, ...(body === undefined ? {} : { body }) }),
  };
}
