import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readTrace } from '../../../agent/simulate/trace.ts';
import { stateFolder } from '../../support/agent.ts';
import { writeFamily } from '../../support/engine-family.ts';
import { runToEnd } from '../../support/processes.ts';

test('the program records a trace of every level on this device, and simulates with it', async () => {
  await using folder = await stateFolder();
  const family = join(folder.path, 'offered');
  const state = join(folder.path, 'state');
  const trace = join(folder.path, 'trace.json');
  await writeFamily(family, [{}, {}]);
  // A budget of memory is the agent's: a recording needs every level.
  const where = ['--family', family, '--state', state, '--threads', '1', '--memory', '1kB'];
  const pace = ['--frame-rate', '40Hz', '--latency', '20ms', '--for', '500ms'];
  const recorded = await runToEnd('agent', ['record', ...where, ...pace, '--to', trace, '-o', 'json']);
  expect(recorded).toMatchObject({ status: 0 });
  expect(JSON.parse(recorded.stdout)).toMatchObject({ file: trace, askedFrames: 20 });
  expect(await readTrace(trace)).toMatchObject({ periodMs: 25, deadlineMs: 20 });

  const simulated = await runToEnd('agent', ['simulate', '--trace', trace, '--policy', 'ofa', '-o', 'json']);
  expect(simulated).toMatchObject({ status: 0, stderr: '' });
  expect(JSON.parse(simulated.stdout)).toMatchObject({ policy: 'ofa', deadlineMs: 20 });
});

test('tools are named in the help, and a mistyped one is suggested', async () => {
  const help = await runToEnd('agent', ['--help']);
  for (const name of ['simulate', 'record', 'quarantine'])
    expect(help.stdout).toContain(`  ${name} [options]`);
  expect(await runToEnd('agent', ['simulat'])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('Did you mean simulate?'),
  });
});
