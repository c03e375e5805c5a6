import type { EventBody, EventEnvelope } from '../../shared/protocol/event.ts';
import { PROTOCOL_VERSION } from '../../shared/protocol/topics.ts';
import type { WindowBody, WindowEnvelope } from '../../shared/protocol/window.ts';
import type { Uplink } from './link.ts';

/** A record as the outbox keeps it: its body is the JSON that was made of it. */
export interface SendableRecord {
  readonly bootId: string;
  readonly seq: number;
  readonly ts: number;
  readonly monoMs: number;
  readonly clock: 'synced' | 'unsynced';
  readonly body: string;
}

export interface Identity {
  readonly fleet: string;
  readonly device: string;
}

function envelope<B>(device: string, record: SendableRecord): Omit<WindowEnvelope, 'body'> & { body: B } {
  const { bootId, seq, ts, monoMs, clock } = record;
  // What this program wrote into its own outbox; the controller checks it all the same.
  const body = JSON.parse(record.body) as B;
  return { v: PROTOCOL_VERSION, device, bootId, seq, ts, monoMs, clock, body };
}

/** Sends outbox records over a link that is up. */
export function createRecordSender(uplink: Uplink, parameters: Identity) {
  const { device } = parameters;
  return {
    windows: async (records: readonly SendableRecord[]): Promise<void> => {
      const payload = records.map((record) => envelope<WindowBody>(device, record));
      const [only] = payload;
      await uplink.publish({
        kind: 'telemetry',
        parameters,
        payload: payload.length === 1 && only !== undefined ? only : payload,
      });
    },
    event: async (record: SendableRecord): Promise<void> => {
      const payload: EventEnvelope = envelope<EventBody>(device, record);
      await uplink.publish({ kind: 'event', parameters, payload });
    },
  };
}
