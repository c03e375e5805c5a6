import type { Packet } from '../../controller/history/write/packet.ts';
import type { EventBody, EventEnvelope } from '../../shared/protocol/event.ts';
import type { WindowBody } from '../../shared/protocol/window.ts';
import { toWire, type WireWindowEnvelope } from '../../shared/protocol/window-wire.ts';
import { Sketch } from '../../shared/sketch.ts';

/** When the records of these tests begin, milliseconds since the epoch. */
export const START_TS = 1_700_000_000_000;
export const WINDOW_MS = 10_000;

export interface RecordOptions {
  readonly device?: string;
  readonly bootId?: string;
  readonly seq?: number;
  readonly ts?: number;
  readonly monoMs?: number;
  readonly clock?: 'synced' | 'unsynced';
}

export function bodyOf(latenciesMs: readonly number[] = [10, 20, 30]): WindowBody {
  const sketch = new Sketch();
  for (const value of latenciesMs) sketch.add(value);
  const latencyMs = {
    count: latenciesMs.length,
    sum: latenciesMs.reduce((sum, value) => sum + value, 0),
    min: Math.min(...latenciesMs),
    max: Math.max(...latenciesMs),
    sketch: sketch.encode(),
  };
  return {
    durationMs: WINDOW_MS,
    family: 'f'.repeat(64),
    points: [
      { pe: 'cpu', level: 0, inferences: latenciesMs.length, misses: 0, labelled: 0, correct: 0, latencyMs },
    ],
    switches: 0,
    skipped: 0,
    unreadable: 0,
    failed: 0,
    slowdown: 1,
    requirement: { latencyMs: 50 },
  };
}

function envelopeOf<B>(options: RecordOptions, body: B) {
  const { device = 'jetson-1', bootId = '0000aaaa-0001', seq = 1, clock = 'synced' } = options;
  const ts = options.ts ?? START_TS + seq * WINDOW_MS;
  const { monoMs = seq * WINDOW_MS } = options;
  return { v: 1 as const, device, bootId, seq, ts, monoMs, clock, body };
}

export function wireWindow(options: RecordOptions = {}, body: WindowBody = bodyOf()): WireWindowEnvelope {
  return envelopeOf(options, toWire(body));
}

export function eventRecord(
  options: RecordOptions = {},
  body: EventBody = { kind: 'fault', what: 'camera', reason: 'no frame' },
): EventEnvelope {
  return envelopeOf(options, body);
}

const encoder = new TextEncoder();

/** One message on `t`: a window, or a batch. */
export function windowPacket(...windows: readonly WireWindowEnvelope[]): Packet {
  const [first] = windows;
  const payload = windows.length === 1 ? first : windows;
  return packetOf('telemetry', payload, first?.device);
}

export function eventPacket(event: EventEnvelope): Packet {
  return packetOf('event', event, event.device);
}

export function packetOf(kind: Packet['kind'], payload: unknown, device = 'jetson-1'): Packet {
  return { device, kind, bytes: encoder.encode(JSON.stringify(payload)) };
}
