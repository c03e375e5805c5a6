import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { launchState } from '../../../agent/launch/command.ts';
import { temporaryFolder } from '../../support/temp.ts';

test('the state folder is that of the flag, the environment, the file, or the default, whatever else is said', async () => {
  await using folder = await temporaryFolder();
  const config = join(folder.path, 'agent.yaml');
  await writeFile(config, 'state:\n  dir: /of/file\nof-a-newer-program:\n  key: 1\n');
  const given = { env: {}, defaultState: 'default' };
  expect(await launchState({}, given)).toBe('default');
  expect(await launchState({ config }, given)).toBe('/of/file');
  const env = { OFA_AGENT_CONFIG: config };
  expect(await launchState({}, { ...given, env })).toBe('/of/file');
  expect(await launchState({}, { ...given, env: { ...env, OFA_AGENT_STATE: '/of/env' } })).toBe('/of/env');
  expect(await launchState({ state: '/of/flag' }, { ...given, env })).toBe('/of/flag');
  await expect(launchState({ config: join(folder.path, 'none') }, given)).rejects.toMatchObject({
    code: 'config',
  });
});
