import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import Type, { type TSchema } from 'typebox';
import { AlertListSchema, AlertQuerySchema } from '../../../controller/api/alert-schemas.ts';
import {
  BackupAnswerSchema,
  ExportQuerySchema,
  GapListSchema,
  GapQuerySchema,
  HistoryStatusSchema,
  IntegrityAnswerSchema,
  TailLineSchema,
  TailQuerySchema,
  TelemetryAnswerSchema,
  TelemetryQuerySchema,
} from '../../../controller/api/history-schemas.ts';
import {
  BudgetPatchSchema,
  CommandRequestSchema,
  CommandResponseSchema,
  ControllerStateSchema,
  DeviceDetailSchema,
  DeviceListSchema,
  DeviceSchema,
  ErrorSchema,
  EventListSchema,
  EventQuerySchema,
  GroupListSchema,
  GroupPutSchema,
  GroupSchema,
  LabelsPatchSchema,
  SettingsPatchSchema,
  StatedListSchema,
  StatedSchema,
  TargetQuerySchema,
} from '../../../controller/api/schemas.ts';
import { parserOf } from '../../../shared/schema.ts';

/** One request that a command made. */
export interface Seen {
  readonly route: string;
  readonly query: Record<string, unknown>;
  readonly body: unknown;
  readonly authorization: string | undefined;
}

export interface Reply {
  readonly status?: number;
  readonly body: unknown;
  /** Sent as it is, for what is not the API. */
  readonly raw?: string;
  /** Sent bit by bit, and after that? A tail goes on, an export ends, a controller that is killed cuts both off. */
  readonly bits?: readonly string[];
  readonly after?: 'open' | 'end' | 'cut';
}

/** What answers: by `METHOD /path`, for this one test. */
export type Script = Record<string, Reply | ((seen: Seen) => Reply)>;

interface Contract {
  readonly path: RegExp;
  readonly query?: TSchema;
  readonly body?: TSchema;
  readonly answer?: TSchema;
  /** Of each line of what is sent bit by bit. */
  readonly line?: TSchema;
}

const Empty = Type.Object({}, { additionalProperties: false });

const CONTRACT: readonly Contract[] = [
  { path: /^GET \/v1\/status$/, answer: ControllerStateSchema },
  { path: /^GET \/v1\/devices$/, query: TargetQuerySchema, answer: DeviceListSchema },
  { path: /^GET \/v1\/devices\/[^/]+$/, answer: DeviceDetailSchema },
  { path: /^PATCH \/v1\/devices\/[^/]+\/labels$/, body: LabelsPatchSchema, answer: DeviceSchema },
  {
    path: /^POST \/v1\/devices\/[^/]+\/commands$/,
    body: CommandRequestSchema,
    answer: CommandResponseSchema,
  },
  { path: /^GET \/v1\/groups$/, answer: GroupListSchema },
  { path: /^GET \/v1\/groups\/[^/]+$/, answer: GroupSchema },
  { path: /^PUT \/v1\/groups\/[^/]+$/, body: GroupPutSchema, answer: GroupSchema },
  { path: /^DELETE \/v1\/groups\/[^/]+$/ },
  { path: /^GET \/v1\/(budgets|settings)$/, answer: StatedListSchema },
  { path: /^PATCH \/v1\/budgets$/, body: BudgetPatchSchema, answer: StatedSchema },
  { path: /^PATCH \/v1\/settings$/, body: SettingsPatchSchema, answer: StatedSchema },
  { path: /^GET \/v1\/telemetry\/query$/, query: TelemetryQuerySchema, answer: TelemetryAnswerSchema },
  { path: /^GET \/v1\/telemetry\/gaps$/, query: GapQuerySchema, answer: GapListSchema },
  { path: /^GET \/v1\/telemetry\/tail$/, query: TailQuerySchema, line: TailLineSchema },
  { path: /^GET \/v1\/telemetry\/export$/, query: ExportQuerySchema },
  { path: /^GET \/v1\/alerts$/, query: AlertQuerySchema, answer: AlertListSchema },
  { path: /^GET \/v1\/history\/status$/, answer: HistoryStatusSchema },
  { path: /^GET \/v1\/history\/integrity$/, answer: IntegrityAnswerSchema },
  { path: /^POST \/v1\/history\/backup$/, body: Empty, answer: BackupAnswerSchema },
  { path: /^GET \/v1\/events$/, query: EventQuerySchema, answer: EventListSchema },
];

export interface FakeApi extends AsyncDisposable {
  readonly url: string;
  readonly seen: Seen[];
  /** What broke the contract: requests that the API would not take, answers that it would not give. */
  readonly breaches: string[];
  script: Script;
}

/** A real HTTP server with scripted answers; it holds both sides to the API's schemas. */
export async function startFakeApi(): Promise<FakeApi> {
  const seen: Seen[] = [];
  const breaches: string[] = [];
  const api = { seen, breaches, script: {} as Script };
  const server = createServer(async (request, response) => {
    const one = await read(request);
    seen.push(one);
    const scripted = api.script[one.route];
    const reply = typeof scripted === 'function' ? scripted(one) : (scripted ?? notFound(one.route));
    breaches.push(...breachesOf(one, reply));
    response.writeHead(reply.status ?? 200, { 'content-type': 'application/json' });
    if (reply.bits !== undefined) {
      sendBits(response, reply.bits, reply.after);
      return;
    }
    response.end(reply.raw ?? (reply.body === undefined ? '' : JSON.stringify(reply.body)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return Object.assign(api, {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function sendBits(response: ServerResponse, bits: readonly string[], after: Reply['after']): void {
  response.flushHeaders();
  for (const bit of bits) response.write(bit);
  if (after === 'end') response.end();
  // Only when all of it is on its way.
  if (after === 'cut') response.write('', () => setImmediate(() => response.destroy()));
}

function notFound(route: string): Reply {
  return { status: 404, body: { error: { code: 'not-found', message: `nothing at ${route}` } } };
}

async function read(request: IncomingMessage): Promise<Seen> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const body = await text(request);
  return {
    route: `${request.method} ${url.pathname}`,
    query: Object.fromEntries([...url.searchParams].map(([key, value]) => [key, numberOr(value)])),
    body: body === '' ? undefined : JSON.parse(body),
    authorization: request.headers.authorization,
  };
}

function numberOr(value: string): unknown {
  return /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}

function breachesOf(one: Seen, reply: Reply): string[] {
  if (reply.raw !== undefined) return [];
  const contract = CONTRACT.find(({ path }) => path.test(one.route));
  if (contract === undefined) return [`${one.route} is not in the API`];
  const failed = (reply.status ?? 200) >= 400;
  const lines = contract.line === undefined ? [] : (reply.bits ?? []).join('').split('\n').filter(Boolean);
  return [
    ...check(contract.query, one.query, `query of ${one.route}`),
    ...check(contract.body, one.body, `body of ${one.route}`),
    ...check(failed ? ErrorSchema : contract.answer, reply.body, `answer of ${one.route}`),
    ...lines.flatMap((line) => check(contract.line, JSON.parse(line), `line of ${one.route}`)),
  ];
}

function check(schema: TSchema | undefined, value: unknown, what: string): string[] {
  if (schema === undefined) return [];
  try {
    parserOf(schema)(value, what);
    return [];
  } catch (error) {
    return [String(error)];
  }
}
