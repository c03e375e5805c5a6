import { expect, test } from 'vitest';
import type { OutgoingText, Uplink } from '../../../agent/link/link.ts';
import { createRecordSender } from '../../../agent/link/record-sender.ts';
import { decodeMessage, packText } from '../../../shared/protocol/messages.ts';
import { type TopicKind, topicOf } from '../../../shared/protocol/topics.ts';
import type { WindowBody } from '../../../shared/protocol/window.ts';
import { fromWire } from '../../../shared/protocol/window-wire.ts';
import { faultOf, outboxOf, START_TS, stampAt, stateFolder } from '../../support/agent.ts';

const AT = { fleet: 'lab', device: 'jetson-1' };
const BODY: WindowBody = {
  durationMs: 10_000,
  family: 'a'.repeat(64),
  points: [],
  ...{ switches: 0, skipped: 2, unreadable: 0, failed: 0, slowdown: 1 },
  requirement: { latencyMs: 50 },
};

/** A sender over a line that decodes what goes over it. */
function sending() {
  const heard: unknown[] = [];
  const publishText = async <K extends TopicKind>(message: OutgoingText<K>): Promise<void> => {
    const { kind, parameters, text } = message;
    const packed = packText(kind, text);
    const bytes = typeof packed === 'string' ? Buffer.from(packed) : packed;
    const decoded = decodeMessage(topicOf(kind, parameters), bytes);
    heard.push(decoded.ok ? decoded.payload : decoded);
  };
  const uplink: Pick<Uplink, 'publishText'> = { publishText };
  return { heard, sender: createRecordSender(uplink, AT) };
}

test('records go out in the envelope of the protocol: one window alone, more as a batch, events one by one', async () => {
  await using folder = await stateFolder();
  const outbox = outboxOf(folder.open());
  outbox.append({ kind: 'window', body: BODY }, stampAt(1));
  outbox.append({ kind: 'window', body: { ...BODY, skipped: 3 } }, stampAt(2, 'unsynced'));
  outbox.append(faultOf('no "cable"'), stampAt(3));
  const [first, second, fault] = outbox.after(0, 10);
  if (first === undefined || second === undefined || fault === undefined)
    throw new Error('three were stored');
  const { heard, sender } = sending();
  await sender.windows([first]);
  await sender.windows([first, second]);
  await sender.event(fault);
  const envelope = { v: 1, device: 'jetson-1', bootId: first.bootId, seq: 1, ts: START_TS + 1, monoMs: 1 };
  const one = { ...envelope, clock: 'synced', body: { k: 2 } };
  expect(heard).toMatchObject([
    one,
    [one, { seq: 2, clock: 'unsynced', body: { k: 3 } }],
    { seq: 3, body: { kind: 'fault', reason: 'no "cable"' } },
  ]);
  expect(fromWire(JSON.parse(first.body))).toEqual(BODY);
});
