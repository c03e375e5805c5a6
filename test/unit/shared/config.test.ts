import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ConfigSchema, type ConfigSources, configEntries, loadConfig } from '../../../shared/config.ts';

interface Example {
  window: number;
  name: string;
  mqtt: { port: number; password: string };
}

const schema: ConfigSchema<Example> = {
  window: {
    doc: 'Length of a window.',
    format: 'duration',
    default: 10_000,
    env: 'EX_WINDOW',
    arg: 'window',
  },
  name: { doc: 'Name.', format: 'text', default: '', env: 'EX_NAME', arg: 'name' },
  mqtt: {
    port: { doc: 'Port.', format: 'port', default: 1883, env: 'EX_PORT', arg: 'port' },
    password: { doc: 'Password.', format: 'text', default: '', env: 'EX_PASSWORD', sensitive: true },
  },
};

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ofa-config-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function load(sources: Partial<ConfigSources>) {
  return loadConfig(schema, { env: {}, flags: {}, ...sources });
}

async function fileOf(text: string, name = 'config.yaml'): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, text);
  return file;
}

describe('sources', () => {
  test('without any, the defaults hold', () => {
    expect(load({}).values).toEqual({ window: 10_000, name: '', mqtt: { port: 1883, password: '' } });
  });

  test('a flag wins over the environment, which wins over the file, which wins over the default', async () => {
    const file = await fileOf('window: 1s\nname: file\nmqtt: { port: 1 }\n');
    const env = { EX_NAME: 'env', EX_PORT: '2' };
    expect(load({ file }).values).toMatchObject({ window: 1_000, name: 'file', mqtt: { port: 1 } });
    expect(load({ file, env }).values).toMatchObject({ name: 'env', mqtt: { port: 2 } });
    expect(load({ file, env, flags: { 'mqtt.port': '3' } }).values).toMatchObject({
      name: 'env',
      mqtt: { port: 3 },
    });
  });

  test('JSON is read as YAML is', async () => {
    expect(load({ file: await fileOf('{"name": "json"}', 'config.json') }).values.name).toBe('json');
  });

  test('quantities have units wherever they come from', async () => {
    expect(load({ file: await fileOf('window: 500ms') }).values.window).toBe(500);
    expect(load({ env: { EX_WINDOW: '2m' } }).values.window).toBe(120_000);
    expect(load({ flags: { window: '1.5s' } }).values.window).toBe(1_500);
  });
});

describe('what is wrong is said in one line', () => {
  test.each([
    ['a key that is not known', 'windw: 1s', /config\.yaml: .*windw/],
    ['a quantity without its unit', "window: '30'", /config\.yaml: .*has no unit/],
    ['a value of the wrong kind', 'mqtt: { port: many }', /config\.yaml: .*port/],
    ['a negative quantity', 'window: -1s', /config\.yaml: .*not negative/],
    ['a file that is not YAML', 'window: [', /config\.yaml: /],
  ])('%s in the file', async (_, text, sentence) => {
    const file = await fileOf(text);
    expect(() => load({ file })).toThrow(expect.objectContaining({ code: 'config' }));
    expect(() => load({ file })).toThrow(sentence);
    expect(() => load({ file })).not.toThrow(/\n/);
  });

  test('a file that is not there', () => {
    const file = join(folder, 'none.yaml');
    expect(() => load({ file })).toThrow(expect.objectContaining({ code: 'config' }));
    expect(() => load({ file })).toThrow(/none\.yaml: .*ENOENT/);
  });

  test('a flag, as a mistake in the command', () => {
    const wrong = () => load({ flags: { 'mqtt.port': 'many' } });
    expect(wrong).toThrow(expect.objectContaining({ code: 'usage' }));
    expect(wrong).toThrow(/--port: /);
  });

  test('the environment', () => {
    const wrong = () => load({ env: { EX_WINDOW: 'soon' } });
    expect(wrong).toThrow(expect.objectContaining({ code: 'config' }));
    expect(wrong).toThrow(/soon/);
  });
});

test('a secret is never printed', () => {
  const loaded = load({ env: { EX_PASSWORD: 'hunter2' } });
  expect(loaded.values.mqtt.password).toBe('hunter2');
  expect(loaded.print()).not.toContain('hunter2');
  expect(JSON.parse(loaded.print())).toMatchObject({ mqtt: { port: 1883 } });
});

test('entries are listed in the order in which they stand, secrets without a flag', () => {
  expect(configEntries(schema).map(({ path, flag }) => [path, flag])).toEqual([
    ['window', 'window'],
    ['name', 'name'],
    ['mqtt.port', 'port'],
    ['mqtt.password', undefined],
  ]);
});
