import { fork } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { readSuspects } from '../../../agent/quarantine/marker.ts';
import { leanFolder } from '../../../agent/service/lean-folders.ts';
import { sha256OfFile } from '../../../shared/files.ts';
import { packageRoot } from '../../../shared/package.ts';
import { stateFolder } from '../../support/agent.ts';
import { eventually, statusOf } from '../../support/agent-run.ts';
import { writeFamily } from '../../support/engine-family.ts';
import { runToEnd, startProcess } from '../../support/processes.ts';

const AGENT = join(packageRoot(), 'agent/main.ts');
/** Matrix products of a model that takes longer than a run may. */
const HANGING_WORK = 110;
const RUN_TIMEOUT = '150ms';

/**
 * Puts a file where the folder of a family's lean models would be. They would be tried in dozens of runs, of
 * which each takes long here; without them the models are run as they were delivered.
 */
async function refuseLean(state: string, family: string): Promise<void> {
  const folder = leanFolder(state, await sha256OfFile(join(family, 'family.json')));
  await mkdir(dirname(folder), { recursive: true });
  await writeFile(folder, '');
}

test('an agent that is stopped while it starts ends well, and accuses no level', async () => {
  await using folder = await stateFolder();
  const family = join(folder.path, 'offered');
  const state = join(folder.path, 'state');
  await writeFamily(family, [{}, { work: 20 }]);
  const args = ['run', '--state', state, '--family', family, '--device', 'jetson-1', '--threads', '1'];
  const agent = fork(AGENT, [...args, '--broker-url', 'mqtt://127.0.0.1:1'], { stdio: 'ignore' });
  const ended = once(agent, 'exit');
  // It is there as soon as an engine is started to measure.
  await eventually(() => access(join(state, 'in-flight')));
  agent.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(readSuspects(state)).toEqual([]);
});

test('an agent that hangs in a level is killed, and comes back without it; let out of quarantine it may run again', async () => {
  await using folder = await stateFolder();
  const family = join(folder.path, 'offered');
  const state = join(folder.path, 'state');
  const config = join(folder.path, 'agent.yaml');
  const log = join(folder.path, 'log');
  await writeFamily(family, [{}, { work: HANGING_WORK }]);
  await refuseLean(state, family);
  await writeFile(config, `engine: {runTimeoutMs: ${RUN_TIMEOUT}, threads: 1}\n`);
  const where = ['--config', config, '--state', state, '--family', family];
  const args = ['run', ...where, '--device', 'jetson-1', '--broker-url', 'mqtt://127.0.0.1:1'];
  const start = () => startProcess('agent', args, log);

  // The first time it may have been of something else: it passes when it is tried with more time.
  await expect(start()).rejects.toThrow(/it hangs; the process ends now and is to be started again/);
  await expect(start()).rejects.toThrow(/it hangs/);
  const agent = await start();
  try {
    await eventually(async () =>
      expect(await statusOf(state)).toMatchObject({
        operatingPoint: { level: 0 },
        operatingPoints: [
          { level: 0, usable: true },
          { level: 1, usable: false, quarantined: expect.stringMatching(/^twice within an hour/) },
        ],
      }),
    );
    expect(await runToEnd('agent', ['quarantine', ...where])).toMatchObject({
      stderr: expect.stringContaining('its agent runs; stop it first'),
    });
  } finally {
    await agent.stop();
  }
  const listed = await runToEnd('agent', ['quarantine', ...where, '-o', 'json']);
  expect(JSON.parse(listed.stdout)).toMatchObject([
    { point: 'cpu/1', reason: expect.stringContaining('hung') },
  ]);
  const wrong = await runToEnd('agent', ['quarantine', ...where, '--clear', 'cpu/0']);
  expect(wrong.stderr).toContain('cpu/0: there is no such level in quarantine');
  const cleared = await runToEnd('agent', ['quarantine', ...where, '--clear', 'cpu/1', '-o', 'json']);
  expect(JSON.parse(cleared.stdout)).toHaveLength(1);
  const after = await runToEnd('agent', ['quarantine', ...where, '-o', 'json']);
  expect(JSON.parse(after.stdout)).toEqual([]);
});
