import { connect, createServer, type Socket } from 'node:net';

/** A line to a broker that a scenario cuts and mends. */
export interface Proxy extends AsyncDisposable {
  /** The broker's address by way of the proxy. */
  urlOf(realUrl: string): string;
  /** Connections that were asked for so far. */
  readonly connections: number;
  cut(): void;
  mend(): void;
}

export async function startProxy(): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let target = 0;
  let isCut = false;
  let connections = 0;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // What ends a connection is seen by those at its ends.
    socket.on('error', () => undefined);
  };
  const server = createServer((near) => {
    connections += 1;
    keep(near);
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(target, '127.0.0.1');
    keep(far);
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    urlOf: (realUrl) => {
      target = Number(new URL(realUrl).port);
      return `mqtt://127.0.0.1:${port}`;
    },
    get connections() {
      return connections;
    },
    cut: () => {
      isCut = true;
      cutAll();
    },
    mend: () => {
      isCut = false;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((done) => server.close(() => done()));
      cutAll();
      await closed;
    },
  };
}
