import { AppError, describeError, isErrorCode } from '../../shared/errors.ts';

/** Where the controller is, and what lets us in. */
export interface Credentials {
  /** Origin and base path of the API, without a slash at its end. */
  readonly url: string;
  readonly token: string;
}

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

/** Makes one request of the controller's API and returns the JSON of its answer. */
export type Client = <T>(request: ApiRequest) => Promise<T>;

/** Longer than any query should take, shorter than a person's patience. */
const TIMEOUT_MS = 30_000;

/** A client of the controller's HTTP API. Nothing is connected before the first request. */
export function createClient(credentials: Credentials): Client {
  return async <T>(request: ApiRequest) => {
    const response = await send(credentials, request);
    const body = await readBody(credentials.url, response, request.timeoutMs ?? TIMEOUT_MS);
    if (!response.ok) throw refusal(credentials.url, response.status, body);
    // The types are those that the controller checks its answers with; checking them twice would cost
    // every command the compilation of the schemas.
    return body as T;
  };
}

async function send(credentials: Credentials, request: ApiRequest): Promise<Response> {
  const { method, body, timeoutMs = TIMEOUT_MS } = request;
  const headers: Record<string, string> = {
    accept: 'application/json',
    authorization: `Bearer ${credentials.token}`,
  };
  if (body !== undefined) headers['content-type'] = 'application/json';
  try {
    return await fetch(urlOf(credentials.url, request), {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      // A redirect would carry the token to a place that nobody named.
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw lost(credentials.url, timeoutMs, error);
  }
}

/** The address of a request. */
export function urlOf(base: string, { path, query = {} }: Pick<ApiRequest, 'path' | 'query'>): string {
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) given.set(key, String(value));
  }
  return given.size === 0 ? `${base}${path}` : `${base}${path}?${given}`;
}

/** What a request that got no answer is told as. */
export function lost(url: string, timeoutMs: number, error: unknown): AppError {
  if (error instanceof Error && error.name === 'TimeoutError') return tooLate(url, timeoutMs);
  const why =
    error instanceof Error && error.cause instanceof Error ? reasonOf(error.cause) : reasonOf(error);
  return new AppError(
    'unreachable',
    `cannot reach the controller at ${url}: ${why}; check that it runs there, or name another with 'ofa-fleet login URL' or OFA_FLEET_URL`,
  );
}

/** What an answer that does not come in time is told as. */
export function tooLate(url: string, timeoutMs: number): AppError {
  return new AppError('timeout', `the controller at ${url} did not answer within ${timeoutMs / 1_000} s`);
}

/** Node joins the failures of several addresses in one error without a message of its own. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error) || cause.message !== '') return describeError(cause);
  return 'code' in cause ? String(cause.code) : cause.name;
}

async function readBody(url: string, response: Response, timeoutMs: number): Promise<unknown> {
  const text = await response.text().catch((error: unknown) => {
    throw lost(url, timeoutMs, error);
  });
  return parseBody(url, text, response.ok);
}

/** What an answer holds: undefined where it is empty, or a refusal in words that are not the API's. */
export function parseBody(url: string, text: string, ok: boolean): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (!ok) return undefined;
    throw new AppError('unreachable', `what answers at ${url} is not the controller's API; check the URL`, {
      cause,
    });
  }
}

/** What an answer that says no is told as. */
export function refusal(url: string, status: number, body: unknown): AppError {
  if (status === 401 || status === 403) {
    return new AppError(
      'unauthorized',
      `the controller at ${url} does not accept the token; log in again with 'ofa-fleet login ${url}'`,
    );
  }
  const { code, message } = errorOf(body);
  if (message === undefined)
    return new AppError(codeOfStatus(status), `${url} answered with HTTP status ${status}`);
  // What the controller finds invalid in a request is what was typed here.
  if (code === 'invalid') return new AppError('usage', message);
  return new AppError(isErrorCode(code) ? code : codeOfStatus(status), message);
}

function errorOf(body: unknown): { code?: unknown; message?: string } {
  const error = fieldOf(body, 'error');
  const message = fieldOf(error, 'message');
  return typeof message === 'string' ? { code: fieldOf(error, 'code'), message } : {};
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function codeOfStatus(status: number): 'not-found' | 'timeout' | 'unreachable' | 'system' {
  if (status === 404) return 'not-found';
  if (status === 504) return 'timeout';
  return status === 502 || status === 503 ? 'unreachable' : 'system';
}
