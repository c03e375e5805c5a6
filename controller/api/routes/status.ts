import Type from 'typebox';
import type { ApiContext, Server } from '../context.ts';
import { ControllerStateSchema } from '../schemas.ts';

/** How the controller itself is. */
export function addStatusRoutes(server: Server, { state }: ApiContext): void {
  server.get(
    '/healthz',
    {
      schema: {
        tags: ['status'],
        summary: 'Whether the controller runs; open to everybody',
        security: [],
        response: { 200: Type.Object({ status: Type.Literal('ok') }) },
      },
    },
    () => ({ status: 'ok' as const }),
  );
  server.get(
    '/v1/status',
    {
      schema: {
        tags: ['status'],
        summary: 'State of the controller, its ingest and its history',
        response: { 200: ControllerStateSchema },
      },
    },
    () => state(),
  );
}
