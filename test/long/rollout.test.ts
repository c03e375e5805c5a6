import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Fault } from '../../models/rehearse/model.ts';
import type { Family } from '../../shared/family/read.ts';
import { familyOfLevels } from '../support/family-host.ts';
import { RolloutFleet } from '../support/rollout-fleet.ts';
import { spoiltFamily } from '../support/spoilt.ts';
import { temporaryFolder } from '../support/temp.ts';

const DEVICES = ['first', 'second', 'third'];
/** What devices tell before they serve it is judged at once; nobody has to watch it. */
const GATES = ['--gate', 'agreement>=90%', '--gate', 'profile<+200%'];
const PLAN = ['--all', '--canary', '1,100%', '--order', 'name', '--soak', '0s', ...GATES];

test('a good family reaches all devices, also one that comes later; two bad ones are stopped on the first', async () => {
  await using folder = await temporaryFolder();
  const source = join(folder.path, 'factory');
  await familyOfLevels(source, [0]);
  await using fleet = await RolloutFleet.start({ devices: DEVICES, family: source });
  /** Publishes the next version, and starts to roll it out. */
  const rollOut = async (version: number, fault: Fault): Promise<Family> => {
    const path = join(folder.path, String(version));
    const family = await spoiltFamily(path, fault, { source, version });
    await fleet.run('family', 'publish', path);
    await fleet.run('rollout', 'start', family.manifest.name, ...PLAN, '--name', `r${version}`);
    return family;
  };
  const served = () => Promise.all(DEVICES.map(async (device) => (await fleet.status(device)).family.sha256));

  await Promise.all(DEVICES.map((device) => fleet.start(device)));
  await Promise.all(DEVICES.map((device) => fleet.untilConnected(device)));
  await fleet.stop('third');

  const good = await rollOut(2, { kind: 'none' });
  const two = await fleet.untilRollout('r2', 'on two', ({ counts }) => counts['SUCCEEDED'] === 2);
  expect(two).toMatchObject({ done: false, stage: 2, counts: { QUEUED: 1 } });
  // A controller that comes back goes on with what is under way.
  await fleet.killController();
  await fleet.startController();
  await fleet.start('third');
  const all = await fleet.untilRollout('r2', 'done', ({ done }) => done);
  expect(all).toMatchObject({ state: 'completed', counts: { SUCCEEDED: 3 } });
  expect(await served()).toEqual(DEVICES.map(() => good.sha256));

  await rollOut(3, { kind: 'wrong' });
  const wrong = await fleet.untilRollout('r3', 'undone', ({ state, done }) => done && state === 'aborted');
  expect(wrong.reason).toMatch(/^stage 1: gate agreement>=90% is broken: agreement is \d+(\.\d+)?%/);
  expect(await served()).toEqual(DEVICES.map(() => good.sha256));

  await rollOut(4, { kind: 'slow', times: 10 });
  const slow = await fleet.untilRollout('r4', 'undone', ({ state, done }) => done && state === 'aborted');
  expect(slow.reason).toMatch(/^stage 1: gate profile<\+200% is broken: profile is [\d.]+ms \(before: /);
  // Only the first of them was ever told.
  for (const { devices } of [wrong, slow]) expect(devices.map(({ attempts }) => attempts)).toEqual([1, 0, 0]);
  expect(await served()).toEqual(DEVICES.map(() => good.sha256));
  await fleet.stopAll();
}, 120_000);
