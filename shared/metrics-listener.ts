import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIPv6 } from 'node:net';
import { AppError, isSystemError } from './errors.ts';
import { isLoopback } from './loopback.ts';

const PATH = '/metrics';
/** A scrape is one line and a few headers. */
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
/** Prometheus keeps one connection; a person with curl has another. */
const MAX_CONNECTIONS = 16;

export interface MetricsListenerOptions {
  /** Address to listen on. Nothing is asked of those who come and nothing is encrypted: loopback only. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Makes the text of one scrape. */
  readonly text: () => Promise<string>;
  /** Of that text, with its version, as the exposition format wants it. */
  readonly contentType: string;
  /** Told of a scrape that could not be answered. */
  readonly onFault?: (error: unknown) => void;
}

export interface MetricsListener extends AsyncDisposable {
  /** Where the metrics are, `/metrics` included. */
  readonly url: string;
}

/**
 * Starts the small listener that Prometheus scrapes: `GET /metrics` and nothing else. Scrapes that come while
 * one is being made get its text: however many come, the work is that of one.
 * @throws AppError `config` when the address is not loopback, `conflict` when the port is taken, `system` when
 * it cannot listen for another reason
 */
export async function startMetricsListener(options: MetricsListenerOptions): Promise<MetricsListener> {
  if (!isLoopback(options.host)) {
    throw new AppError(
      'config',
      `metrics on ${options.host}: only loopback is allowed; use 127.0.0.1 or ::1`,
    );
  }
  const scrape = shared(options.text);
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: 65_000 },
    (request, response) => {
      answer(request, response, { ...options, text: scrape }).catch((error: unknown) => {
        options.onFault?.(error);
        send(response, 500, 'the metrics could not be read; see the log\n');
      });
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  const url = await listen(server, options);
  return { url, [Symbol.asyncDispose]: () => close(server) };
}

/** Hands the same promise to all who ask while it is not settled. */
function shared(text: () => Promise<string>): () => Promise<string> {
  let current: Promise<string> | undefined;
  return () => {
    current ??= text().finally(() => {
      current = undefined;
    });
    return current;
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { text, contentType }: Pick<MetricsListenerOptions, 'text' | 'contentType'>,
): Promise<void> {
  // A body is of no use here, however long it is.
  request.resume();
  if (request.url?.split('?', 1)[0] !== PATH) {
    send(response, 404, `only ${PATH} is here\n`);
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    send(response, 405, 'only GET\n');
  } else {
    send(response, 200, await text(), contentType);
  }
}

function send(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8') {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

async function listen(server: Server, { host, port }: MetricsListenerOptions): Promise<string> {
  try {
    server.listen({ host, port });
    await once(server, 'listening');
  } catch (cause) {
    const place = `port ${port} on ${host}`;
    if (isSystemError(cause, 'EADDRINUSE')) {
      throw new AppError('conflict', `${place} is already in use; choose another for the metrics`, { cause });
    }
    throw new AppError('system', `${place}: the metrics cannot be listened for`, { cause });
  }
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return `http://${isIPv6(host) ? `[${host}]` : host}:${bound}${PATH}`;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
