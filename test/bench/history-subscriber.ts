/**
 * A process that stands in for a controller without a history: it takes every window from the broker and
 * acknowledges it as the controller does, a few at a time, and does nothing else with it.
 */
import mqtt from 'mqtt';
import { parseTopic, topicOf } from '../../shared/protocol/topics.ts';
import { BENCH_FLEET, BOOT_ID } from './history-windows.ts';

/** As long as the controller gathers windows for a commit. */
const GATHER_MS = 20;

/** Of each device, the number of the last window that came, and of the last one that was acknowledged. */
const numbers = new Map<string, { came: number; acknowledged: number }>();

const [, , url = ''] = process.argv;
const client = await mqtt.connectAsync(url, { protocolVersion: 4, clean: true, reconnectPeriod: 0 });
client.on('message', (topic) => {
  const parsed = parseTopic(topic);
  if (parsed?.kind !== 'telemetry') return;
  const { device } = parsed.parameters;
  // Windows of a device come in their order, each once: their number need not be read.
  const known = numbers.get(device);
  if (known === undefined) numbers.set(device, { came: 1, acknowledged: 0 });
  else known.came += 1;
});
await client.subscribeAsync(topicOf('telemetry', { fleet: BENCH_FLEET, device: '+' }), { qos: 1 });
const timer = setInterval(acknowledge, GATHER_MS);
process.once('SIGTERM', () => process.disconnect());
// Also when the bench was killed.
process.once('disconnect', () => {
  clearInterval(timer);
  client.end(true);
});
process.send?.({ type: 'listens' });

function acknowledge(): void {
  for (const [device, known] of numbers) {
    if (known.came === known.acknowledged) continue;
    const ack = { bootId: BOOT_ID, ranges: [[known.acknowledged + 1, known.came]] };
    known.acknowledged = known.came;
    client.publish(topicOf('ack', { fleet: BENCH_FLEET, device }), JSON.stringify(ack), { qos: 1 });
  }
}
