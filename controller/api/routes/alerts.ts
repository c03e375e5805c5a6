import { AlertListSchema, AlertQuerySchema } from '../alert-schemas.ts';
import type { ApiContext, Server } from '../context.ts';
import { idsOf } from '../views.ts';

/** What is the matter with the fleet. */
export function addAlertRoutes(server: Server, context: ApiContext): void {
  server.get(
    '/v1/alerts',
    {
      schema: {
        tags: ['alerts'],
        summary: 'List alerts, the worst first; without a state those that are not resolved',
        querystring: AlertQuerySchema,
        response: { 200: AlertListSchema },
      },
    },
    ({ query }) => {
      const { state, limit } = query;
      return { alerts: context.alerts.list({ devices: idsOf(query, context), state, limit }) };
    },
  );
}
