import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';
import { ALERTS_DEFAULTS } from '../../support/alerts.ts';
import { connectDevice, eventOf, eventually, runController, windowOf } from '../../support/controller.ts';
import { temporaryFolder } from '../../support/temp.ts';

async function hook() {
  const bodies: unknown[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    bodies.push(JSON.parse(Buffer.concat(chunks).toString('utf8')));
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/`,
    bodies,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

test('an event of a device becomes an alert of the API, of the webhook and of the metrics', async () => {
  await using folder = await temporaryFolder();
  await using webhook = await hook();
  const alerts = { ...ALERTS_DEFAULTS, throttledMs: 0, webhookUrl: webhook.url };
  const config = { alerts, metrics: { host: '127.0.0.1', port: 0 } };
  await using fleet = await runController(folder.path, { config });
  await using device = await connectDevice({ url: fleet.controller.mqttUrl, id: 'jetson-1' });
  await device.sendWindows(windowOf({ seq: 1, ts: systemClock.now() }));
  await device.acknowledged(1);
  const body = { kind: 'throttle', state: 'begins', reason: 'hot' } as const;
  await device.sendEvent(eventOf({ seq: 2, ts: systemClock.now(), body }));
  await eventually(async () => {
    const answer = await fleet.ask('GET', '/v1/alerts?device=jetson-1&state=firing');
    expect(answer).toMatchObject({
      status: 200,
      body: { alerts: [{ rule: 'throttled', device: 'jetson-1', state: 'firing', text: 'throttled: hot' }] },
    });
  });
  await eventually(() =>
    expect(webhook.bodies).toMatchObject([
      { alerts: [{ rule: 'throttled', fleet: 'lab', state: 'firing' }] },
    ]),
  );
  expect(await fleet.ask('GET', '/v1/alerts?device=unknown')).toMatchObject({ status: 404 });
  expect(await fleet.ask('GET', '/v1/alerts?state=wrong')).toMatchObject({ status: 400 });
  const text = await (await fetch(fleet.controller.metricsUrl ?? '')).text();
  expect(text).toContain('ofa_controller_alerts_firing{rule="throttled"} 1\n');
  expect(text).toContain('ofa_controller_ingest_windows_total 1\n');
  expect(text).toContain('ofa_controller_history_up 1\n');
  const check = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  if (check.error === undefined) expect(check).toMatchObject({ status: 0, stderr: '' });
});
