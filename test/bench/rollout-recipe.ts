import { join } from 'node:path';
import { type Figure, judged } from './report.ts';
import { BACKBONE, bulkyFamily, floatFamily, recalibratedFamily } from './rollout-families.ts';
import { type BenchFleet, startBenchFleet } from './rollout-fleet.ts';

const RATIO_BAR = 0.03;

/**
 * What an update weighs that travels as recipes, to a device that has their backbone, against the same levels as
 * models in 32-bit floats; both at the controller's line, all else that it sends included.
 */
export async function recipeFigures(): Promise<Figure[]> {
  await using fleet = await startBenchFleet();
  const family = join(fleet.dir, 'factory');
  await bulkyFamily(family, 1, 1_000);
  await fleet.startSwarm({ devices: 1, family });
  await fleet.untilDevices(1, true);
  const recipes = ['--form', 'recipes', '--backbone', BACKBONE];
  const folderOf = (version: number): string => join(fleet.dir, `version-${version}`);
  await recalibratedFamily(folderOf(10), 10, 1);
  const first = await sent(fleet, folderOf(10), recipes);
  await recalibratedFamily(folderOf(11), 11, 1.001);
  const update = await sent(fleet, folderOf(11), recipes);
  // Other statistics again: the device takes no file that it has.
  await floatFamily(folderOf(12), 12, 1.002);
  const whole = await sent(fleet, folderOf(12), []);
  const bytes = (name: string, value: number): Figure => ({ name, value, unit: 'B', better: 'lower' });
  return [
    bytes('recipe_first_bytes', first),
    bytes('recipe_update_bytes', update),
    bytes('full_fp32_bytes', whole),
    judged({
      name: 'recipe_update_ratio',
      value: update / whole,
      unit: '1',
      better: 'lower',
      bar: RATIO_BAR,
    }),
  ];
}

/** Publishes a family and rolls it out. @returns what the controller sent to the broker meanwhile, bytes */
async function sent(fleet: BenchFleet, folder: string, form: readonly string[]): Promise<number> {
  await fleet.run('family', 'publish', folder, ...form);
  const before = fleet.controllerLine.bytes.toBroker;
  const { id } = await fleet.begin('fashion-mnist');
  await fleet.untilCompleted(id);
  return fleet.controllerLine.bytes.toBroker - before;
}
