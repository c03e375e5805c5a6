import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import mqtt from 'mqtt';
import { AppError } from '../../shared/errors.ts';
import { decodePayload } from '../../shared/protocol/messages.ts';
import { topicOf } from '../../shared/protocol/topics.ts';

const DEMO = fileURLToPath(new URL('../../deploy/demo/main.ts', import.meta.url));
/** Agents begin to send after some ten of these seconds. */
const RUNS_FOR = '25s';

/**
 * Runs the demonstration and listens to its broker.
 * @returns bytes of payload per window on `t`, on average
 * @throws AppError `system` when the demonstration sends no windows
 */
export async function demoWireBytes(): Promise<number> {
  const child = spawn(process.execPath, [DEMO, '--for', RUNS_FOR, '-o', 'json'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  try {
    const url = await mqttUrlOf(child.stderr);
    // What else it says must not fill the pipe.
    child.stderr.resume();
    const heard = { bytes: 0, windows: 0 };
    const client = await mqtt.connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 });
    // The broker goes away with the demonstration.
    client.on('error', () => undefined);
    client.on('message', (_, payload) => {
      const message = decodePayload('telemetry', payload);
      if (!message.ok) return;
      heard.bytes += payload.length;
      heard.windows += Array.isArray(message.payload) ? message.payload.length : 1;
    });
    await client.subscribeAsync(topicOf('telemetry', { fleet: '+', device: '+' }), { qos: 1 });
    await exited;
    client.end(true);
    if (heard.windows === 0) throw new AppError('system', 'the demonstration has sent no windows');
    return heard.bytes / heard.windows;
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
    await exited;
  }
}

/** Where its broker is: in what it says to people. */
async function mqttUrlOf(text: Readable): Promise<string> {
  for await (const line of createInterface({ input: text })) {
    const url = /^MQTT\s+(\S+)/.exec(line)?.[1];
    if (url !== undefined) return url;
  }
  throw new AppError('system', 'the demonstration ended before it said where its broker is');
}
