import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A line to a broker that counts what goes over it. */
export interface CountingProxy extends AsyncDisposable {
  /** The broker's address by way of this line. */
  readonly url: string;
  /** So far, over all connections. */
  readonly bytes: { readonly toBroker: number; readonly fromBroker: number };
}

/** @param brokerUrl of a broker on this machine */
export async function startCountingProxy(brokerUrl: string): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  const bytes = { toBroker: 0, fromBroker: 0 };
  const keep = (socket: Socket, end: () => void): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.once('close', () => {
      sockets.delete(socket);
      end();
    });
    // What ends a connection is seen by those at its ends.
    socket.on('error', () => undefined);
  };
  const port = Number(new URL(brokerUrl).port);
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    keep(near, () => far.destroy());
    keep(far, () => near.destroy());
    near.on('data', ({ length }) => {
      bytes.toBroker += length;
    });
    far.on('data', ({ length }) => {
      bytes.fromBroker += length;
    });
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const own = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `mqtt://127.0.0.1:${own}`,
    bytes,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((done) => server.close(() => done()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
