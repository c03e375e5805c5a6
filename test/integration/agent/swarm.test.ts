import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadAgentConfig } from '../../../agent/config.ts';
import { readAgentDatabase } from '../../../agent/store/database.ts';
import { startSwarm } from '../../../agent/swarm/swarm.ts';
import { totalsOf } from '../../../agent/telemetry/outbox.ts';
import { systemClock } from '../../../shared/clock.ts';
import { until } from '../../chaos/until.ts';
import { keptLog } from '../../support/agent.ts';
import { FLEET, runController } from '../../support/controller.ts';
import { tinyFamily } from '../../support/install.ts';
import { temporaryFolder } from '../../support/temp.ts';

const DEVICES = ['tiny-1', 'tiny-2', 'tiny-3'];

test('a swarm is known as so many devices, sends windows of drawn latencies, and ends with nothing left to send', async () => {
  await using folder = await temporaryFolder();
  const family = join(folder.path, 'family');
  const { sha256 } = await tinyFamily(family, 1);
  await using controller = await runController(join(folder.path, 'controller'));
  const { log } = keptLog();
  log.level = 'warn';
  const flags = {
    ...{ fleet: FLEET, 'state.dir': join(folder.path, 'swarm'), 'family.dir': family },
    ...{ 'broker.url': controller.controller.mqttUrl, 'telemetry.windowMs': '600ms', 'frames.rate': '20' },
  };
  const swarm = await startSwarm({
    config: loadAgentConfig({ env: {}, flags }).values,
    ...{ devices: DEVICES.length, prefix: 'tiny', seed: 1, joinMs: 60 },
    ...{ clock: systemClock, random: () => 0.1, newId: randomUUID, signal: new AbortController().signal },
    logging: { log, ring: { newest: () => [] } },
  });
  const ask = async (path: string): Promise<unknown> => (await controller.ask('GET', path)).body;
  const heard = (): Promise<unknown> =>
    ask('/v1/telemetry/query?metric=inferences&aggregate=sum&since=0&by=device');
  try {
    await until('windows of all devices', async () => {
      const text = JSON.stringify(await heard());
      return DEVICES.every((device) => text.includes(device));
    });
    expect(await ask('/v1/devices/tiny-2')).toMatchObject({
      id: 'tiny-2',
      online: true,
      reported: { family: { sha256 }, policy: 'drawn', hardware: { cpus: expect.any(Number) } },
    });
  } finally {
    await swarm[Symbol.asyncDispose]();
  }
  for (const device of DEVICES) {
    expect(await ask(`/v1/devices/${device}`)).toMatchObject({ online: false });
    const database = readAgentDatabase(join(folder.path, 'swarm', device));
    expect(database === undefined ? undefined : totalsOf(database)).toMatchObject({ pending: 0 });
    database?.close();
  }
});

test('a prefix of which no id can be made is refused before anything is started', async () => {
  await expect(
    startSwarm({
      config: loadAgentConfig({ env: {}, flags: {} }).values,
      ...{ devices: 2, prefix: 'Über', seed: 1, joinMs: 0 },
      ...{ clock: systemClock, random: () => 0.1, newId: randomUUID, signal: new AbortController().signal },
      logging: { log: keptLog().log, ring: { newest: () => [] } },
    }),
  ).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining("'Über-2'") });
});
