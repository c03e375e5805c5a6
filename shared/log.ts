import { Writable } from 'node:stream';
import { type Logger, multistream, pino } from 'pino';
import { build as pretty } from 'pino-pretty';

export type { Logger } from 'pino';

/** The newest log lines of this process, bounded, for those who ask over the network. */
export interface LogRing {
  /** The newest `count` lines, oldest first, each one JSON object. */
  newest(count: number): string[];
}

export interface Logging {
  readonly log: Logger;
  readonly ring: LogRing;
}

const RING_LINES = 1_000;
/** A line longer than this is cut in the ring: one line must not fill a message of the protocol. */
const RING_LINE_CHARACTERS = 2_000;

/** Keys whose values never reach a log line. */
const SECRETS = [
  'password',
  'token',
  '*.password',
  '*.token',
  'headers.authorization',
  '*.headers.authorization',
];

function createRing(): { stream: Writable; ring: LogRing } {
  const lines: string[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk: string | Buffer, _encoding, done) => {
      lines.push(chunk.toString().trimEnd().slice(0, RING_LINE_CHARACTERS));
      if (lines.length > RING_LINES) lines.splice(0, lines.length - RING_LINES);
      done();
    },
  });
  return { stream, ring: { newest: (count) => lines.slice(-count) } };
}

/**
 * A logger to standard error: JSON lines, or coloured text where a person is watching. Standard output
 * belongs to results.
 */
export function createLogging(name: string, level: string): Logging {
  const { stream, ring } = createRing();
  const terminal = process.stderr.isTTY
    ? pretty({ destination: 2, sync: true, ignore: 'pid,hostname,name', translateTime: 'SYS:HH:MM:ss.l' })
    : pino.destination({ fd: 2, sync: true });
  const streams = multistream([
    { level: 'trace', stream: terminal },
    { level: 'trace', stream },
  ]);
  const log = pino({ name, level, redact: SECRETS, base: { pid: process.pid } }, streams);
  return { log, ring };
}
