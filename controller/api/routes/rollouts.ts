import Type from 'typebox';
import { IdSchema } from '../../../shared/protocol/ids.ts';
import type { Rollouts } from '../../rollouts/rollouts.ts';
import type { Server } from '../context.ts';
import {
  RolloutAbortSchema,
  RolloutDetailSchema,
  RolloutListSchema,
  RolloutStartSchema,
} from '../rollout-schemas.ts';

/** What the routes of rollouts answer from. */
export interface RolloutContext {
  readonly rollouts: Pick<Rollouts, 'begin' | 'list' | 'show' | 'control'>;
}

const Params = Type.Object({ id: IdSchema });
const tags = ['rollouts'];

/** Rollouts: start, watch and steer them. */
export function addRolloutRoutes(server: Server, { rollouts }: RolloutContext): void {
  server.post(
    '/v1/rollouts',
    {
      schema: {
        tags,
        summary: 'Start to bring a release to devices, stage by stage',
        body: RolloutStartSchema,
        response: { 201: RolloutDetailSchema },
      },
    },
    async ({ body }, reply) => {
      const started = rollouts.begin(body);
      reply.code(201);
      return started;
    },
  );
  server.get(
    '/v1/rollouts',
    { schema: { tags, summary: 'List rollouts, newest first', response: { 200: RolloutListSchema } } },
    () => ({ rollouts: rollouts.list() }),
  );
  server.get(
    '/v1/rollouts/:id',
    { schema: { tags, summary: 'Show a rollout', params: Params, response: { 200: RolloutDetailSchema } } },
    ({ params }) => rollouts.show(params.id),
  );
  addControls(server, { rollouts });
}

const CONTROLS = {
  pause: 'Give no more orders; what is under way goes on',
  resume: 'Go on with a rollout that was paused',
  undo: 'Have every device that took it go back to what it had before',
} as const;

function addControls(server: Server, { rollouts }: RolloutContext): void {
  const answer = { params: Params, response: { 200: RolloutDetailSchema } };
  for (const deed of ['pause', 'resume', 'undo'] as const) {
    const schema = { tags, summary: CONTROLS[deed], ...answer };
    server.post(`/v1/rollouts/:id/${deed}`, { schema }, ({ params }) =>
      rollouts.control(params.id, { deed }),
    );
  }
  const summary = 'End a rollout before its time; devices that took it go back, or keep it';
  server.post(
    '/v1/rollouts/:id/abort',
    { schema: { tags, summary, body: RolloutAbortSchema, ...answer } },
    ({ params, body }) => rollouts.control(params.id, { deed: 'abort', ...body }),
  );
}
