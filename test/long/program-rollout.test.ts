import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { readLaunchState } from '../../agent/slots/launch-state.ts';
import { sha256OfFile } from '../../shared/files.ts';
import { packageRoot } from '../../shared/package.ts';
import { familyOfLevels } from '../support/family-host.ts';
import { RolloutFleet } from '../support/rollout-fleet.ts';
import { temporaryFolder } from '../support/temp.ts';

/** The program as it is built, with another version, in a folder as npm would install it. */
async function builtProgram(root: string, version: string): Promise<void> {
  const source = packageRoot();
  const manifest: object = JSON.parse(await readFile(join(source, 'package.json'), 'utf8'));
  await mkdir(root);
  await cp(join(source, 'dist'), join(root, 'dist'), { recursive: true });
  await symlink(join(source, 'node_modules'), join(root, 'node_modules'));
  await writeFile(join(root, 'package.json'), JSON.stringify({ ...manifest, version }));
}

/** One that says its version as it should, so that it is let in, and does nothing else. */
function brokenMain(version: string): string {
  return `if (process.argv[2] === '--version') console.log('${version}');
else throw new Error('this program was never tried');
`;
}

test('a program replaces itself on a device, and one that crashes goes back with its reason', async () => {
  // Nothing is done where it is built of these sources already, as it is by npm test.
  await promisify(execFile)(process.execPath, ['deploy/run.mjs', '--setup-only'], { cwd: packageRoot() });
  await using folder = await temporaryFolder();
  const family = join(folder.path, 'family');
  await familyOfLevels(family, [0]);
  await using fleet = await RolloutFleet.start({ devices: ['one'], family, command: 'launch' });
  /** Packs and publishes a program, and rolls it out; the SHA-256 of what was packed. */
  const rollOut = async (root: string, version: number): Promise<string> => {
    const packed = `${root}.tgz`;
    await fleet.run('program', 'pack', '--package', root, '--out', packed);
    await fleet.run('program', 'publish', packed, '--version', String(version));
    const plan = ['--kind', 'program', '--device', 'one', '--soak', '0s', '--name', `r${version}`];
    await fleet.run('rollout', 'start', 'ofa-agent', ...plan);
    return await sha256OfFile(packed);
  };
  const launched = () => readLaunchState(fleet.stateDir('one'));
  await fleet.start('one');
  await fleet.untilConnected('one');

  await builtProgram(join(folder.path, 'good'), '99.0.0');
  const good = await rollOut(join(folder.path, 'good'), 2);
  const taken = await fleet.untilRollout('r2', 'over', ({ done }) => done);
  expect(taken).toMatchObject({ state: 'completed', counts: { SUCCEEDED: 1 } });
  expect(await launched()).toMatchObject({ current: good, previous: null });

  const broken = join(folder.path, 'broken');
  await builtProgram(broken, '99.0.1');
  await writeFile(join(broken, 'dist', 'agent', 'main.js'), brokenMain('99.0.1'));
  await rollOut(broken, 3);
  const refused = await fleet.untilRollout('r3', 'over', ({ done }) => done);
  expect(refused).toMatchObject({ state: 'aborted', counts: { FAILED: 1 } });
  expect(refused.devices[0]?.reason).toMatch(/the launcher gave it up: .*exit status 1/);
  expect(await launched()).toMatchObject({ current: good });
  await fleet.untilConnected('one');
  await fleet.stopAll();
}, 120_000);
