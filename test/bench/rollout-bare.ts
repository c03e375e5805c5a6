/**
 * A process that does nothing but publish, or take, so many payloads of a chunk's size at QoS 1: what a broker
 * carries between two clients that read no disk and check nothing.
 */
import mqtt from 'mqtt';
import { CHUNK_BYTES } from '../../shared/protocol/release.ts';

const [, , role, url = '', count = '0', inFlight = '1'] = process.argv;
const TOPIC = 'bench/bare';

const client = await mqtt.connectAsync(url, { protocolVersion: 4, clean: true, reconnectPeriod: 0 });
// Also when the bench was killed.
process.once('disconnect', () => client.end(true));
process.once('SIGTERM', () => process.disconnect());
if (role === 'publish') {
  process.on('message', () => {
    tellMoment();
    void publishAll(Number(count), Number(inFlight));
  });
} else {
  let left = Number(count);
  client.on('message', () => {
    left -= 1;
    if (left === 0) tellMoment();
  });
  await client.subscribeAsync(TOPIC, { qos: 1 });
}
process.send?.({ type: 'listens' });

/** The monotonic clock is that of the machine: moments of two processes can be compared. */
function tellMoment(): void {
  process.send?.({ type: 'moment', monoMs: Number(process.hrtime.bigint()) / 1e6 });
}

async function publishAll(messages: number, underWay: number): Promise<void> {
  const payload = Buffer.alloc(CHUNK_BYTES, 7);
  const numbers = Array.from({ length: messages }).values();
  const worker = async (): Promise<void> => {
    for (const _ of numbers) await client.publishAsync(TOPIC, payload, { qos: 1 });
  };
  await Promise.all(Array.from({ length: underWay }, worker));
}
