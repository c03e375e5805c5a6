import { styleText } from 'node:util';
import { formatDurationMs } from '../../shared/units.ts';
import type { ShownDevice, ShownEvent } from './api.ts';

/** One line per device: what it does now, in words and units. */
export function deviceLine({ id, online, latest }: ShownDevice): string {
  const name = id.padEnd(10);
  if (latest === undefined) return `${name} ${online ? 'starting' : 'offline'}`;
  const { level, latencyMeanMs, latencyP95Ms, requirement, durationMs } = latest;
  const latency = latencyMeanMs === null ? '-' : formatDurationMs(latencyMeanMs);
  const tail = latencyP95Ms === null ? '-' : formatDurationMs(latencyP95Ms);
  const budget = requirement.latencyMs === undefined ? '' : ` of ${formatDurationMs(requirement.latencyMs)}`;
  const rate = (latest.inferences / durationMs) * 1_000;
  return [
    name,
    (online ? 'online' : 'offline').padEnd(8),
    `level ${level ?? '-'}`.padEnd(8),
    `latency ${latency} (p95 ${tail})${budget}`.padEnd(38),
    `${rate.toFixed(1)} fps`.padStart(9),
    `${latest.misses} late`.padStart(8),
    latest.accuracy === null ? '' : `${(latest.accuracy * 100).toFixed(0)} % right`.padStart(12),
  ].join(' ');
}

/** One line per event: when, who, what, and why. */
export function eventLine({ ts, device, kind, body }: ShownEvent): string {
  const time = new Date(ts).toISOString().slice(11, 19);
  const what = kind === 'switch' ? `level ${levelOf(body['from'])} -> ${levelOf(body['to'])}` : kind;
  const reason = typeof body['reason'] === 'string' ? `: ${body['reason']}` : '';
  return `${time} ${device} ${what}${reason}`;
}

function levelOf(point: unknown): string {
  return typeof point === 'object' && point !== null && 'level' in point ? String(point.level) : '?';
}

/** Where the live status goes. */
export interface Screen {
  show(devices: readonly ShownDevice[], events: readonly ShownEvent[]): void;
}

/** How often lines are repeated where nobody watches a terminal, in calls of `show`. */
const REPEAT_EVERY = 5;

/** A picture of several lines that takes its own place again and again. */
export interface Picture {
  /** Whether the stream can do that: elsewhere nothing is shown. */
  readonly inPlace: boolean;
  look(): { width: number; color: boolean };
  show(lines: readonly string[]): void;
  /** Leaves its place as it was. */
  clear(): void;
}

const PIPE_COLUMNS = 160;

/** A picture on a stream. */
export function createPicture(stream: NodeJS.WriteStream): Picture {
  const inPlace = stream.isTTY === true;
  let drawn = 0;
  const clear = (): void => {
    if (!inPlace || drawn === 0) return;
    stream.moveCursor(0, -drawn);
    stream.clearScreenDown();
    drawn = 0;
  };
  return {
    inPlace,
    clear,
    // One column less: a terminal may begin a new line after the last one.
    look: () => ({
      width: Math.max(20, (stream.columns ?? PIPE_COLUMNS) - 1),
      color: inPlace && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb',
    }),
    show: (lines) => {
      clear();
      const fitting = lines.slice(0, Math.max(1, (stream.rows ?? lines.length + 1) - 1));
      stream.write(`${fitting.join('\n')}\n`);
      drawn = fitting.length;
    },
  };
}

/** A screen on a stream: drawn in place on a terminal, repeated now and then elsewhere. */
export function createScreen(stream: NodeJS.WriteStream): Screen {
  const picture = createPicture(stream);
  let calls = 0;
  const cut = (line: string): string => line.slice(0, picture.look().width);
  return {
    show: (devices, events) => {
      calls += 1;
      const lines = devices.map(deviceLine);
      if (!picture.inPlace) {
        if (calls % REPEAT_EVERY === 1) stream.write(`${lines.join('\n')}\n`);
        return;
      }
      const story = events.toReversed().map((event) => styleText('dim', cut(eventLine(event)), { stream }));
      picture.show([...lines.map(cut), '', ...story]);
    },
  };
}
