import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import type { Figure } from './report.ts';
import { BUNDLED, bulkyFamily } from './rollout-families.ts';
import { startBenchFleet } from './rollout-fleet.ts';

const DEVICES = 50;

/** From the question to the controller until fifty devices that are online serve a new family; nothing soaks. */
export async function fleetFigures(): Promise<Figure[]> {
  await using fleet = await startBenchFleet();
  const family = join(fleet.dir, 'factory');
  await bulkyFamily(family, 1, 1_000);
  await fleet.run('family', 'publish', BUNDLED);
  await fleet.startSwarm({ devices: DEVICES, family, url: fleet.brokerUrl });
  await fleet.untilDevices(DEVICES, true);
  const startedMs = systemClock.monoMs();
  const { id } = await fleet.begin('fashion-mnist');
  await fleet.untilCompleted(id);
  const value = (systemClock.monoMs() - startedMs) / 1_000;
  return [{ name: 'rollout_50_s', value, unit: 's', better: 'lower' }];
}
