import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { FRAME_SCAN_START, scanFrames } from './frames.ts';
import type { Turns } from './turns.ts';

export interface GateOptions {
  /** A packet that announces more than this ends its connection before a byte of it is kept. */
  readonly maxPacketBytes: number;
  /** Bytes that may wait for a slow reader before the broker counts it as stuck. */
  readonly maxUnsentBytes: number;
  readonly onOversized: () => void;
  /** When what came is read: a hundred senders at once must not hold up everything else. */
  readonly turns: Turns;
}

/**
 * A socket as the broker sees it. The broker's parser keeps a packet in memory until its last byte is
 * there, up to 256 MB; the gate reads the announced length first and ends the connection instead.
 */
export function gateSocket(socket: Socket, options: GateOptions): Duplex {
  let scan = FRAME_SCAN_START;
  const gate = new Duplex({
    writableHighWaterMark: options.maxUnsentBytes,
    read: () => {
      socket.resume();
    },
    write: (chunk: Buffer, _encoding, done) => {
      socket.write(chunk, done);
    },
    final: (done) => {
      socket.end(done);
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  const take = (chunk: Buffer): void => {
    if (gate.destroyed) return;
    const next = scanFrames(scan, chunk, options.maxPacketBytes);
    if (next === undefined) {
      options.onOversized();
      gate.destroy(new Error(`a packet of more than ${options.maxPacketBytes} bytes was announced`));
      return;
    }
    scan = next;
    if (gate.push(chunk)) socket.resume();
  };
  socket.on('data', (chunk: Buffer) => {
    socket.pause();
    options.turns.add(chunk.length, () => take(chunk));
  });
  let isEnding = false;
  socket.on('end', () => {
    isEnding = true;
    // Behind what came before it: a DISCONNECT that is not read is a broken connection, and its will is sent.
    options.turns.add(0, () => {
      if (!gate.destroyed) gate.push(null);
    });
  });
  socket.on('error', (error) => gate.destroy(error));
  socket.on('close', () => {
    if (isEnding && !gate.readableEnded) gate.once('end', () => gate.destroy());
    else gate.destroy();
  });
  return gate;
}
