import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { Aedes } from 'aedes';
import { pino } from 'pino';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { type Outbox, openOutbox } from '../../agent/telemetry/outbox.ts';
import type { Stamp } from '../../agent/telemetry/outbox-store.ts';
import type { Logger } from '../../shared/log.ts';
import type { EventBody } from '../../shared/protocol/event.ts';
import type { Sqlite } from '../../shared/sqlite.ts';

export interface StateFolder extends Disposable, AsyncDisposable {
  readonly path: string;
  /** Opens the agent's database in it; all that were opened are closed with the folder. */
  open(): Sqlite;
}

/** A state folder that is removed when it goes out of scope. */
export async function stateFolder(): Promise<StateFolder> {
  const path = await mkdtemp(join(tmpdir(), 'ofa-agent-'));
  const opened: Sqlite[] = [];
  const close = (): void => {
    for (const database of opened) database.close();
  };
  return {
    path,
    open: () => {
      const database = openAgentDatabase(path);
      opened.push(database);
      return database;
    },
    [Symbol.dispose]: close,
    [Symbol.asyncDispose]: async () => {
      close();
      await rm(path, { recursive: true, force: true });
    },
  };
}

export const BOOT = '0000aaaa-0001';
export const START_TS = 1_700_000_000_000;

export interface OutboxChange {
  readonly bootId?: string;
  readonly maxBytes?: number;
  readonly maxAgeMs?: number;
}

/** Opens an outbox with room for all that a test stores, unless it says otherwise. */
export function outboxOf(database: Sqlite, change: OutboxChange = {}): Outbox {
  return openOutbox({
    database,
    bootId: BOOT,
    startedTs: START_TS,
    maxBytes: 1_000_000,
    maxAgeMs: 1e12,
    ...change,
  });
}

export function stampAt(ms: number, clock: Stamp['clock'] = 'synced'): Stamp {
  return { ts: START_TS + ms, monoMs: ms, clock };
}

export function faultOf(reason: string): { kind: 'event'; body: EventBody } {
  return { kind: 'event', body: { kind: 'fault', what: 'camera', reason } };
}

/** A logger that keeps what it is told, one object per line. */
export function keptLog(): { log: Logger; lines: { level: number; msg: string }[] } {
  const lines: { level: number; msg: string }[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk: string | Buffer, _encoding, done) => {
      lines.push(JSON.parse(chunk.toString()));
      done();
    },
  });
  return { log: pino({ level: 'trace', base: null }, stream), lines };
}

/** A broker whose lines a test can cut. */
export interface TestBroker extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly broker: Aedes;
  /** Cuts the line of a client, or of all, without a word. */
  cut(clientId?: string): void;
}

/** Starts a real broker; on a free port unless it is to come back on one. */
export async function startBroker(port = 0): Promise<TestBroker> {
  const broker = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const names = new Map<Socket, string>();
  broker.on('clientReady', (client) => {
    for (const socket of sockets) if (client.conn === socket) names.set(socket, client.id);
  });
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    broker.handle(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : 0;
  const cut = (clientId?: string): void => {
    for (const socket of sockets) {
      if (clientId === undefined || names.get(socket) === clientId) socket.destroy();
    }
  };
  return {
    url: `mqtt://127.0.0.1:${bound}`,
    port: bound,
    broker,
    cut,
    [Symbol.asyncDispose]: async () => {
      cut();
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
