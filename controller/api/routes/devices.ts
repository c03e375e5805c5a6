import Type from 'typebox';
import { IdSchema } from '../../../shared/protocol/ids.ts';
import type { ApiContext, Server } from '../context.ts';
import {
  CommandRequestSchema,
  CommandResponseSchema,
  DeviceDetailSchema,
  DeviceListSchema,
  LabelsPatchSchema,
  TargetQuerySchema,
} from '../schemas.ts';
import { deviceDetailView, devicesOf, deviceViews } from '../views.ts';

const Params = Type.Object({ id: IdSchema });
const tags = ['devices'];

/** Devices: what is known of them, their labels, and commands to them. */
export function addDeviceRoutes(server: Server, context: ApiContext): void {
  const { devices, desired } = context;
  server.get(
    '/v1/devices',
    {
      schema: {
        tags,
        summary: 'List devices',
        querystring: TargetQuerySchema,
        response: { 200: DeviceListSchema },
      },
    },
    async ({ query }) => {
      const chosen = devicesOf(query, context) ?? [...devices.all()];
      const sorted = chosen.sort((a, b) => (a.id < b.id ? -1 : 1));
      return { devices: await deviceViews(sorted, context) };
    },
  );
  server.get(
    '/v1/devices/:id',
    { schema: { tags, summary: 'Show a device', params: Params, response: { 200: DeviceDetailSchema } } },
    ({ params }) => deviceDetailView(devices.require(params.id), context),
  );
  server.patch(
    '/v1/devices/:id/labels',
    {
      schema: {
        tags,
        summary: 'Change the labels of a device',
        params: Params,
        body: LabelsPatchSchema,
        response: { 200: DeviceDetailSchema },
      },
    },
    ({ params, body }) => {
      const device = devices.patchLabels(params.id, body);
      desired.syncGroups([device.id]);
      return deviceDetailView(device, context);
    },
  );
  addCommandRoute(server, context);
}

function addCommandRoute(server: Server, { commands }: ApiContext): void {
  server.post(
    '/v1/devices/:id/commands',
    {
      schema: {
        tags,
        summary: 'Send a command to a device and wait for its answer',
        params: Params,
        body: CommandRequestSchema,
        response: { 200: CommandResponseSchema },
      },
    },
    ({ params, body }) => commands.send(params.id, body),
  );
}
