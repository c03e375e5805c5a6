import { PROTOCOL_VERSION } from '../../shared/protocol/topics.ts';
import type { Uplink } from './link.ts';

/** A record as the outbox keeps it: its body is the JSON that goes over the wire. */
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

/** The envelope as JSON; the body is JSON already, and is not read and written again on its way. */
function envelopeText(device: string, { bootId, seq, ts, monoMs, clock, body }: SendableRecord): string {
  const head = JSON.stringify({ v: PROTOCOL_VERSION, device, bootId, seq, ts, monoMs, clock });
  return `${head.slice(0, -1)},"body":${body}}`;
}

/** Sends outbox records over a link that is up. */
export function createRecordSender(uplink: Pick<Uplink, 'publishText'>, parameters: Identity) {
  const textOf = (record: SendableRecord): string => envelopeText(parameters.device, record);
  return {
    windows: async (records: readonly SendableRecord[]): Promise<void> => {
      const texts = records.map(textOf);
      const [only] = texts;
      const text = texts.length === 1 && only !== undefined ? only : `[${texts.join(',')}]`;
      await uplink.publishText({ kind: 'telemetry', parameters, text });
    },
    event: async (record: SendableRecord): Promise<void> => {
      await uplink.publishText({ kind: 'event', parameters, text: textOf(record) });
    },
  };
}
