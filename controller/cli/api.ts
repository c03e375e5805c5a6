import type { Static } from 'typebox';
import type { Requirement, Settings } from '../../shared/protocol/requirement.ts';
import type {
  BudgetPatchSchema,
  CommandRequestSchema,
  CommandResponse,
  ControllerState,
  Device,
  DeviceDetail,
  DeviceListSchema,
  Group,
  GroupListSchema,
  GroupPutSchema,
  LabelsPatchSchema,
  Scope,
  SettingsPatchSchema,
  Stated,
  StatedListSchema,
} from '../api/schemas.ts';
import { type Client, type Credentials, createClient } from './client.ts';
import { type HistoryApi, historyCalls } from './history-api.ts';
import { createStreams } from './stream.ts';
import type { Target } from './values.ts';

/** A change of what a scope states: fields that are given are set, ones that are named are cleared. */
export interface StatedChange<Fields, Name extends string> {
  readonly scope: Scope;
  readonly set?: Fields;
  readonly clear?: Name[];
}

type CommandRequest = Static<typeof CommandRequestSchema>;

/** The controller's API as the commands call it. */
export interface Api extends HistoryApi {
  state(): Promise<ControllerState>;
  devices(target: Target): Promise<Device[]>;
  device(id: string): Promise<DeviceDetail>;
  label(id: string, change: Static<typeof LabelsPatchSchema>): Promise<Device>;
  command(id: string, request: CommandRequest): Promise<CommandResponse>;
  groups(): Promise<Group[]>;
  group(name: string): Promise<Group>;
  setGroup(name: string, group: Static<typeof GroupPutSchema>): Promise<Group>;
  deleteGroup(name: string): Promise<void>;
  budgets(): Promise<Stated[]>;
  changeBudget(change: StatedChange<Requirement, keyof Requirement>): Promise<Stated>;
  settings(): Promise<Stated[]>;
  changeSettings(change: StatedChange<Settings, keyof Settings>): Promise<Stated>;
}

/** The answer to a command arrives later than the device's time is over by what the network takes. */
const COMMAND_MARGIN_MS = 5_000;

/** The API of a controller. Nothing is connected before the first call. */
export function createApi(credentials: Credentials): Api {
  const client = createClient(credentials);
  return {
    ...deviceCalls(client),
    ...groupCalls(client),
    ...stateCalls(client),
    ...historyCalls(client, createStreams(credentials)),
  };
}

function deviceCalls(client: Client): Pick<Api, 'devices' | 'device' | 'label' | 'command'> {
  return {
    devices: async (target) => {
      const answer = await client<Static<typeof DeviceListSchema>>({
        method: 'GET',
        path: '/v1/devices',
        query: target,
      });
      return answer.devices;
    },
    device: (id) => client({ method: 'GET', path: `/v1/devices/${id}` }),
    label: (id, body) => client({ method: 'PATCH', path: `/v1/devices/${id}/labels`, body }),
    command: (id, body) =>
      client({
        method: 'POST',
        path: `/v1/devices/${id}/commands`,
        body,
        timeoutMs: body.timeoutMs + COMMAND_MARGIN_MS,
      }),
  };
}

function groupCalls(client: Client): Pick<Api, 'groups' | 'group' | 'setGroup' | 'deleteGroup'> {
  return {
    groups: async () => {
      const answer = await client<Static<typeof GroupListSchema>>({ method: 'GET', path: '/v1/groups' });
      return answer.groups;
    },
    group: (name) => client({ method: 'GET', path: `/v1/groups/${name}` }),
    setGroup: (name, body) => client({ method: 'PUT', path: `/v1/groups/${name}`, body }),
    deleteGroup: (name) => client({ method: 'DELETE', path: `/v1/groups/${name}` }),
  };
}

function stateCalls(
  client: Client,
): Pick<Api, 'state' | 'budgets' | 'changeBudget' | 'settings' | 'changeSettings'> {
  const stated = async (path: string): Promise<Stated[]> => {
    const answer = await client<Static<typeof StatedListSchema>>({ method: 'GET', path });
    return answer.stated;
  };
  return {
    state: () => client({ method: 'GET', path: '/v1/status' }),
    budgets: () => stated('/v1/budgets'),
    changeBudget: (body: Static<typeof BudgetPatchSchema>) =>
      client({ method: 'PATCH', path: '/v1/budgets', body }),
    settings: () => stated('/v1/settings'),
    changeSettings: (body: Static<typeof SettingsPatchSchema>) =>
      client({ method: 'PATCH', path: '/v1/settings', body }),
  };
}
