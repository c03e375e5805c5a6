import Type from 'typebox';
import { IdSchema } from '../../../shared/protocol/ids.ts';
import type { ApiContext, Server } from '../context.ts';
import { GroupListSchema, GroupPutSchema, GroupSchema } from '../schemas.ts';
import { groupView } from '../views.ts';

const Params = Type.Object({ name: IdSchema });
const tags = ['groups'];

/** Groups of devices, by list or by selector. */
export function addGroupRoutes(server: Server, context: ApiContext): void {
  const { groups } = context;
  server.get(
    '/v1/groups',
    { schema: { tags, summary: 'List groups', response: { 200: GroupListSchema } } },
    () => ({ groups: groups.named().map((group) => groupView(group, context)) }),
  );
  server.get(
    '/v1/groups/:name',
    { schema: { tags, summary: 'Show a group', params: Params, response: { 200: GroupSchema } } },
    ({ params }) => groupView(groups.require(params.name), context),
  );
  addGroupChanges(server, context);
}

function addGroupChanges(server: Server, context: ApiContext): void {
  const { groups, desired } = context;
  server.put(
    '/v1/groups/:name',
    {
      schema: {
        tags,
        summary: 'Make a group, or change it',
        params: Params,
        body: GroupPutSchema,
        response: { 200: GroupSchema },
      },
    },
    ({ params, body }) => {
      const group = groups.put(params.name, body);
      desired.syncGroups();
      return groupView(group, context);
    },
  );
  server.delete(
    '/v1/groups/:name',
    {
      schema: {
        tags,
        summary: 'Remove a group and what it states',
        params: Params,
        response: { 204: Type.Null() },
      },
    },
    async ({ params }, reply) => {
      groups.remove(params.name);
      desired.syncGroups();
      desired.dropGroup(params.name);
      reply.code(204);
      return null;
    },
  );
}
