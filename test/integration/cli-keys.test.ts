import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { Command } from 'commander';
import fastify from 'fastify';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Server } from '../../controller/api/context.ts';
import { refusalOf, sendRefusal } from '../../controller/api/errors.ts';
import { addKeyringRoutes } from '../../controller/api/routes/keyring.ts';
import { compileValidator } from '../../controller/api/validation.ts';
import { type Cli, createCli } from '../../controller/cli/context.ts';
import { loadPublisherKey } from '../../controller/cli/key-folder.ts';
import { addKeys } from '../../controller/cli/keys.ts';
import { createKeys, type Keys } from '../../controller/keys/keys.ts';
import { formatSheet } from '../../shared/cli/format.ts';
import { describeError, exitCodeOf } from '../../shared/errors.ts';
import { acceptKeyring, type Keyring, signKeyring } from '../../shared/release/keyring.ts';
import { parseRootFile } from '../../shared/release/roots.ts';
import { createKeyPair, publicHalfOf } from '../../shared/release/signature.ts';
import { silentLog } from '../support/controller.ts';
import { keyringOf } from '../support/signing.ts';
import { temporaryFolder } from '../support/temp.ts';

/** The keyring's part of a controller behind real HTTP; it can forget everything. */
async function startKeyring() {
  const values = new Map<string, string>();
  const meta = {
    get: (key: string) => values.get(key),
    set: (key: string, value: string) => void values.set(key, value),
  };
  const open = (): Keys => createKeys({ meta, fleet: 'lab', retain: () => undefined });
  let keys = open();
  const server: Server = fastify().withTypeProvider<TypeBoxTypeProvider>();
  server.setValidatorCompiler(compileValidator);
  server.setErrorHandler((error, _request, reply) => sendRefusal(reply, refusalOf(error, silentLog)));
  addKeyringRoutes(server, {
    keys: {
      fleet: 'lab',
      current: () => keys.current(),
      put: (message, options) => keys.put(message, options),
      message: () => keys.message(),
    },
  });
  return {
    url: await server.listen({ host: '127.0.0.1', port: 0 }),
    keys: () => keys,
    keyring: (): Keyring | undefined => keys.current()?.keyring,
    /** Set up anew, or restored from a backup of then. */
    goBackTo: (kept: string | undefined) => {
      if (kept === undefined) values.clear();
      else values.set('keyring', kept);
      keys = open();
    },
    kept: () => values.get('keyring'),
    [Symbol.asyncDispose]: async () => {
      await server.close();
    },
  };
}

let controller: Awaited<ReturnType<typeof startKeyring>>;
let home: Awaited<ReturnType<typeof temporaryFolder>>;
let folder: string;

beforeEach(async () => {
  [controller, home] = await Promise.all([startKeyring(), temporaryFolder()]);
  folder = join(home.path, 'ofa-fleet/keys');
});

afterEach(async () => {
  await Promise.all([controller[Symbol.asyncDispose](), home[Symbol.asyncDispose]()]);
});

function environment(): NodeJS.ProcessEnv {
  return { OFA_FLEET_URL: controller.url, OFA_FLEET_TOKEN: 'token', XDG_CONFIG_HOME: home.path };
}

/** Runs `ofa-fleet keys ...` in this process. */
async function keys(line: string, env: NodeJS.ProcessEnv = environment()) {
  let [out, err] = ['', ''];
  const write = (text: string): void => {
    out += text;
  };
  const note = (text: string): void => {
    err += `${text}\n`;
  };
  const print: Cli['print'] = (sheet, format) => write(formatSheet(sheet, { format, color: false }));
  const program = new Command('ofa-fleet').exitOverride();
  addKeys(program, { ...createCli(env), write, note, print });
  try {
    await program.parseAsync(['keys', ...line.split(' ')], { from: 'user' });
    return { status: 0, out, err };
  } catch (error) {
    return { status: exitCodeOf(error), out, err: `${err}${describeError(error)}\n` };
  }
}

async function done(line: string): Promise<string> {
  const { status, out, err } = await keys(line);
  expect(err).not.toContain('PRIVATE');
  expect([line, status, status === 0 ? '' : err]).toEqual([line, 0, '']);
  return out === '' ? err : out;
}

async function publicOf(name: string) {
  return publicHalfOf(await readFile(join(folder, `${name}.key`), 'utf8'));
}

async function pinnedRoots() {
  return parseRootFile(await readFile(join(folder, 'root.pub'), 'utf8'), 'root.pub');
}

describe('keys create', () => {
  test('makes a root and a publisher, private halves for this user only, and says what comes next', async () => {
    const told = await done('create ci');
    const [root, ci] = [await publicOf('root'), await publicOf('ci')];
    expect(controller.keyring()).toMatchObject({
      ...{ version: 1, roots: [root], publishers: [{ name: 'ci', ...ci }], revoked: [] },
    });
    expect(told).toContain(`put ${folder}/root.pub on every agent, and name it there as trust.root`);
    expect(told).toContain(`keyring 1 is in force: publisher ci has key ${ci.id}`);
    const modes = await Promise.all(
      ['', 'root.key', 'ci.key'].map(async (name) => (await stat(join(folder, name))).mode & 0o777),
    );
    expect(modes).toEqual([0o700, 0o600, 0o600]);
    expect((await readdir(folder)).sort()).toEqual(['ci.key', 'lab.keyring.json', 'root.key', 'root.pub']);
    expect(await done('root')).toBe(await readFile(join(folder, 'root.pub'), 'utf8'));
  });

  test('adds publishers, and takes a key that is there already, but no name twice', async () => {
    await done('create ci');
    const message = controller.keys().current()?.message;
    await done('create cd');
    expect(controller.keyring()).toMatchObject({ version: 2, publishers: [{ name: 'ci' }, { name: 'cd' }] });
    expect(await keys('create ci')).toMatchObject({
      ...{ status: 1, err: expect.stringMatching(/^ci is a publisher already; 'ofa-fleet keys rotate ci'/) },
    });
    expect(await keys('create root')).toMatchObject({ status: 2 });
    expect(await keys('create ../x')).toMatchObject({ status: 2 });
    // An agent with the root of the first follows.
    const first = message && { keyring: acceptKeyring(message, { pinned: await pinnedRoots() }), message };
    const newest = controller.keys().current()?.message;
    expect(newest && acceptKeyring(newest, { pinned: [], current: first }).version).toBe(2);
  });

  test('goes on where it was cut off, with the keys that it had made', async () => {
    const gone = { ...environment(), OFA_FLEET_URL: 'http://127.0.0.1:1' };
    expect(await keys('create ci', gone)).toMatchObject({ status: 7 });
    await done('create ci');
    const ci = await publicOf('ci');
    controller.goBackTo(undefined);
    await rm(join(folder, 'lab.keyring.json'));
    await done('create ci');
    expect(controller.keyring()).toMatchObject({ version: 1, publishers: [ci] });
  });

  test('does not sign on what a controller says that is not its root', async () => {
    await done('create ci');
    const thief = createKeyPair();
    controller.goBackTo(JSON.stringify(signKeyring(keyringOf(thief, { version: 8 }), [thief.privatePem])));
    expect(await keys('create cd')).toMatchObject({
      ...{ status: 1, err: expect.stringMatching(/^the controller's keyring is not one of root\.key in /) },
    });
  });

  test('a controller that forgot goes on from what was signed here last, with what is revoked', async () => {
    await done('create ci');
    const old = controller.kept();
    await done('revoke ci');
    const revoked = controller.keyring()?.revoked;
    controller.goBackTo(old);
    expect(await done('create cd')).toContain(
      'the controller has keyring 1; it goes on from keyring 2, which was signed here',
    );
    expect(controller.keyring()).toMatchObject({ version: 3, revoked, publishers: [{ name: 'cd' }] });
  });

  test('begins anew when the root is lost, and only then', async () => {
    await done('create ci');
    const [lost] = await pinnedRoots();
    expect(await keys('create ci --new-root')).toMatchObject({
      status: 1,
      err: expect.stringMatching(/keys rotate root/),
    });
    await rm(join(folder, 'root.key'));
    expect(await keys('create cd')).toMatchObject({
      status: 1,
      err: expect.stringMatching(/there is no root\.key/),
    });
    await done('create ci --new-root');
    expect(await pinnedRoots()).not.toEqual([lost]);
    expect(controller.keyring()).toMatchObject({ version: 2, publishers: [{ name: 'ci' }] });
    await done('create cd');
    expect(controller.keyring()).toMatchObject({ version: 3, roots: await pinnedRoots() });
  });

  test('needs the root', async () => {
    await done('create ci');
    const elsewhere = { ...environment(), OFA_FLEET_KEYS: join(home.path, 'other') };
    expect(await keys('create cd', elsewhere)).toMatchObject({
      ...{ status: 1, err: expect.stringMatching(/there is no root\.key in .*other to go on from it/) },
    });
  });
});

describe('keys rotate', () => {
  test('gives a publisher a new key; the old one is known no more', async () => {
    await done('create ci');
    const before = await publicOf('ci');
    await done('rotate ci');
    const after = await publicOf('ci');
    expect(after.id).not.toBe(before.id);
    expect(controller.keyring()).toMatchObject({ version: 2, publishers: [{ name: 'ci', ...after }] });
    expect(await keys('rotate cd')).toMatchObject({ status: 3 });
  });

  test('takes up a rotation that was cut off after its keyring came into force', async () => {
    await done('create ci');
    await done('rotate ci');
    const after = await readFile(join(folder, 'ci.key'));
    await writeFile(join(folder, 'ci.next.key'), after, { mode: 0o600 });
    await writeFile(join(folder, 'ci.key'), createKeyPair().privatePem);
    await done('rotate ci');
    expect(await readFile(join(folder, 'ci.key'))).toEqual(after);
    expect(controller.keyring()?.version).toBe(2);
  });

  test('puts a new root in place; agents follow, also those that missed it, and new ones pin the new one', async () => {
    await done('create ci');
    const pinned = await pinnedRoots();
    await done('rotate root');
    await done('create cd');
    const message = controller.keys().current()?.message;
    const accepted = [pinned, await pinnedRoots()].map(
      (roots) => message && acceptKeyring(message, { pinned: roots }),
    );
    expect(accepted).toMatchObject([{ version: 3 }, { version: 3 }]);
    expect(controller.keyring()?.roots).toEqual([await publicOf('root')]);
    expect(await publicOf('root.until-2')).toEqual(pinned[0]);
  });

  test('takes up the rotation of a root that was cut off', async () => {
    await done('create ci');
    const old = await readFile(join(folder, 'root.key'));
    await done('rotate root');
    const present = await publicOf('root');
    await writeFile(join(folder, 'root.next.key'), await readFile(join(folder, 'root.key')), { mode: 0o600 });
    await writeFile(join(folder, 'root.key'), old);
    await rm(join(folder, 'root.until-2.key'));
    expect(await done('rotate root')).toContain('the rotation that was cut off is complete');
    expect(await publicOf('root')).toEqual(present);
    expect(controller.keyring()?.version).toBe(2);
  });
});

describe('keys revoke', () => {
  test('takes a key out for ever, by name or id, and lays its file aside', async () => {
    await done('create ci');
    const { id } = await publicOf('ci');
    await done(`revoke ${id}`);
    expect(controller.keyring()).toMatchObject({ version: 2, publishers: [], revoked: [id] });
    expect(await done(`revoke ${id}`)).toContain('revoked already');
    expect(await readdir(folder)).toContain(`ci.revoked-${id}.key`);
    await done('create ci');
    await done('revoke ci');
    expect(controller.keyring()?.revoked).toHaveLength(2);
  });

  test('is not for roots, nor for words that name nothing', async () => {
    await done('create ci');
    const { id } = await publicOf('root');
    const refused = await Promise.all(['root', id, 'cd'].map((word) => keys(`revoke ${word}`)));
    expect(refused.map(({ status }) => status)).toEqual([2, 2, 3]);
  });

  test('needs a keyring', async () => {
    expect(await keys('revoke ci')).toMatchObject({
      status: 3,
      err: expect.stringMatching(/no keyring yet/),
    });
    expect(await readdir(home.path)).toEqual([]);
  });
});

test('keys list shows whose signatures count, and which private halves are here', async () => {
  expect(await keys('list')).toMatchObject({ err: expect.stringMatching(/fleet lab has no keyring yet/) });
  await done('create ci');
  await done('create cd');
  const ci = await publicOf('ci');
  await done('revoke ci');
  await rm(join(folder, 'cd.key'));
  const [root, cd] = [await publicOf('root'), controller.keyring()?.publishers[0]];
  const lines = (await done('list')).split('\n').map((line) => line.split(/ +/));
  expect(lines).toEqual([
    ['NAME', 'KEY', 'ROLE', 'STATE', 'HERE'],
    ['root', root.id, 'root', 'active', join(folder, 'root.key')],
    ['cd', cd?.id, 'publisher', 'active', '-'],
    ['-', ci.id, '-', 'revoked', join(folder, `ci.revoked-${ci.id}.key`)],
    [''],
  ]);
  const json = JSON.parse(await done('list -o json'));
  expect(json).toMatchObject({ fleet: 'lab', version: 3, folder, keys: [{ role: 'root' }, {}, {}] });
});

describe("a publisher's key", () => {
  test('is the only one that is there, or the one that is named', async () => {
    await expect(loadPublisherKey(environment())).rejects.toMatchObject({ code: 'not-found' });
    await done('create ci');
    const ci = await publicOf('ci');
    expect(await loadPublisherKey(environment())).toMatchObject({ name: 'ci', publicKey: ci });
    await done('create cd');
    await expect(loadPublisherKey(environment())).rejects.toMatchObject({
      ...{ code: 'usage', message: expect.stringMatching(/say which one of cd, ci$/) },
    });
    expect(await loadPublisherKey(environment(), 'ci')).toMatchObject({ publicKey: ci });
    await expect(loadPublisherKey(environment(), 'root')).rejects.toMatchObject({ code: 'not-found' });
    await expect(loadPublisherKey(environment(), '../ci')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('is not used when others can read it, can write beside it, or when it is something else', async () => {
    await done('create ci');
    const path = join(folder, 'ci.key');
    const refused = async () => {
      const error: unknown = await loadPublisherKey(environment()).catch((thrown: unknown) => thrown);
      return describeError(error);
    };
    await chmod(path, 0o640);
    expect(await refused()).toBe(
      `${path} holds a private key and others may read it; it is not used; run: chmod 600 ${path}`,
    );
    await chmod(path, 0o600);
    await chmod(folder, 0o770);
    expect(await refused()).toMatch(/others may write; run: chmod 700/);
    await chmod(folder, 0o700);
    await writeFile(path, 'secret words');
    expect(await refused()).toBe(`${path}: not a private key in PEM without a passphrase`);
  });
});
