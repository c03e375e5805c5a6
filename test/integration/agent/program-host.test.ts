import { EventEmitter } from 'node:events';
import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { writeLaunchState } from '../../../agent/slots/launch-state.ts';
import { type AgentMessage, LAUNCHED_BASE, LAUNCHED_PROGRAM } from '../../../agent/slots/messages.ts';
import { hasSlot, slotFolder } from '../../../agent/slots/places.ts';
import { openProgramHost, type ProgramHost } from '../../../agent/slots/program-host.ts';
import { packProgram } from '../../../controller/cli/program-pack.ts';
import { AppError } from '../../../shared/errors.ts';
import { sha256OfFile } from '../../../shared/files.ts';
import { type ProgramNeeds, readProgramNeeds } from '../../../shared/release/program-file.ts';
import { writeArchive } from '../../support/archives.ts';
import { manualClock } from '../../support/clock.ts';
import { FAKE_VERSION, fakeMain } from '../../support/fake-program.ts';
import { temporaryFolder } from '../../support/temp.ts';

const BARE = { withDependencies: false, withModels: false };
const never = new AbortController().signal;

/** A package with one dependency that has one itself, and a folder of models. */
async function writePackage(
  root: string,
  dependencyVersion: string,
  main = fakeMain('x', ''),
): Promise<void> {
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text);
  };
  const manifest = {
    name: 'ofa-fleet',
    version: FAKE_VERSION,
    type: 'module',
    files: ['dist', 'models/families'],
  };
  await write(
    'package.json',
    JSON.stringify({ ...manifest, engines: { node: '>=24' }, dependencies: { one: '1', '@s/two': '2' } }),
  );
  await write('dist/agent/main.js', main);
  await write('models/families/f.txt', 'model');
  await write(
    'node_modules/one/package.json',
    JSON.stringify({ version: '1.0.0', dependencies: { three: '3' } }),
  );
  await write('node_modules/one/index.js', 'export const one = 1;');
  await write('node_modules/one/node_modules/three/package.json', JSON.stringify({ version: '3.0.0' }));
  await write('node_modules/@s/two/package.json', JSON.stringify({ version: dependencyVersion }));
  await write('node_modules/unasked/package.json', JSON.stringify({ version: '1.0.0' }));
}

interface World extends AsyncDisposable {
  readonly folder: string;
  readonly state: string;
  readonly base: string;
  readonly host: ProgramHost;
  readonly sent: AgentMessage[];
  readonly answer: (answer: object) => void;
}

let now: World;

beforeEach(async () => {
  const folder = await temporaryFolder();
  now = await openWorld(folder.path);
  return () => folder[Symbol.asyncDispose]();
});

async function openWorld(folder: string): Promise<World> {
  const [state, base] = [join(folder, 'state'), join(folder, 'base')];
  await writePackage(base, '2.0.0');
  const verdict = { slot: 'd'.repeat(64), reason: 'it died' };
  await writeLaunchState(state, {
    format: 1,
    base: 'x',
    current: null,
    previous: null,
    failures: 0,
    verdict,
  });
  const sent: AgentMessage[] = [];
  const channel = Object.assign(new EventEmitter(), { send: (message: AgentMessage) => sent.push(message) });
  const host = await openProgramHost({
    stateDir: state,
    env: { [LAUNCHED_PROGRAM]: '', [LAUNCHED_BASE]: base },
    channel,
    clock: manualClock(),
    nodeMajor: 24,
  });
  if (host === undefined) throw new Error('a launcher is there');
  const answer = (message: object): void => void channel.emit('message', message);
  return { folder, state, base, host, sent, answer, [Symbol.asyncDispose]: async () => undefined };
}

/** Packs the program of a folder. */
async function pack(
  root: string,
  options = BARE,
): Promise<{ path: string; sha256: string; needs: ProgramNeeds }> {
  const path = join(root, '..', 'program.tgz');
  const needs = await packProgram(root, path, options);
  expect(await readProgramNeeds(path)).toEqual(needs);
  return { path, sha256: await sha256OfFile(path), needs };
}

describe('staging', () => {
  test('a program without its dependencies uses those installed, and the models', async () => {
    const blob = await pack(now.base);
    await now.host.stage(blob, blob.needs, never);
    const slot = slotFolder(now.state, blob.sha256);
    expect(hasSlot(now.state, blob.sha256)).toBe(true);
    expect(await readlink(join(slot, 'node_modules', 'one'))).toBe(join(now.base, 'node_modules', 'one'));
    expect((await readdir(join(slot, 'node_modules'))).toSorted()).toEqual(['@s', 'one']);
    expect(await readFile(join(slot, 'models', 'families', 'f.txt'), 'utf8')).toBe('model');
    await now.host.stage(blob, blob.needs, never);
    expect((await readdir(join(now.state, 'programs'))).toSorted()).toEqual(
      [blob.sha256, 'state.json'].toSorted(),
    );
  });

  test('a program with its dependencies brings all that it needs and nothing else', async () => {
    const blob = await pack(now.base, { withDependencies: true, withModels: true });
    expect(blob.needs.dependencies).toBeUndefined();
    await now.host.stage(blob, blob.needs, never);
    const modules = join(slotFolder(now.state, blob.sha256), 'node_modules');
    expect((await readdir(modules)).toSorted()).toEqual(['@s', 'one']);
    expect(await readFile(join(modules, 'one', 'node_modules', 'three', 'package.json'), 'utf8')).toContain(
      '3.0.0',
    );
  });

  test.each([
    [
      'other dependencies',
      { dependency: '2.0.1' },
      /needs other dependencies .* pack it --with-dependencies/,
    ],
    ['a program that ends badly', { main: "throw new Error('oh no')" }, /does not start: Error: oh no/],
    [
      'a program that says another version',
      { main: "console.log('1.2.3')" },
      /says that it is "1.2.3", expected 9.9.9/,
    ],
    ['a program for a newer Node.js', { needs: { minNode: 25 } }, /needs Node.js 25, this is 24/],
    [
      'another version than the manifest says',
      { needs: { version: '1.0.0' } },
      /holds ofa-fleet 9.9.9, expected ofa-fleet 1.0.0/,
    ],
  ])(
    'refuses %s, and leaves nothing',
    async (_, { dependency = '2.0.0', main = fakeMain('x', ''), needs = {} }: Made, expected) => {
      const made = join(now.folder, 'made');
      await writePackage(made, dependency, main);
      const blob = await pack(made);
      await expect(now.host.stage(blob, { ...blob.needs, ...needs }, never)).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringMatching(expected),
      });
      expect(await readdir(join(now.state, 'programs'))).toEqual(['state.json']);
    },
  );

  test('refuses archives that lead elsewhere, and writes nothing there', async () => {
    const outside = join(now.folder, 'outside');
    await mkdir(outside);
    const path = join(now.folder, 'evil.tgz');
    const needs = { version: FAKE_VERSION, minNode: 24 };
    const good = { path: 'package/dist/agent/main.js', content: 'x' };
    for (const evil of [
      { path: 'package/../../../outside/x', content: 'x' },
      { path: 'elsewhere/x', content: 'x' },
      { path: 'package/dist', type: 'SymbolicLink' as const, linkpath: outside },
      { path: 'package/dist/agent/main.js', content: 'another' },
      { path: 'package/dist/agent/main.js/x', content: 'below a file' },
    ]) {
      await writeArchive(path, [good, evil]);
      await expect(now.host.stage({ path, sha256: 'e'.repeat(64) }, needs, never)).rejects.toMatchObject({
        code: 'invalid',
      });
    }
    expect(await readdir(outside)).toEqual([]);
    expect(await readdir(join(now.state, 'programs'))).toEqual(['state.json']);
  });

  test('ends with the signal, and leaves nothing', async () => {
    const made = join(now.folder, 'made');
    await writePackage(made, '2.0.0', 'setInterval(() => undefined, 1000)');
    const blob = await pack(made);
    const stop = new AbortController();
    const staging = now.host.stage(blob, blob.needs, stop.signal);
    await vi.waitFor(async () => expect((await readdir(join(now.state, 'programs'))).length).toBe(2));
    stop.abort(new AppError('aborted', 'enough'));
    await expect(staging).rejects.toMatchObject({ code: 'aborted' });
    expect(await readdir(join(now.state, 'programs'))).toEqual(['state.json']);
  });
});

interface Made {
  readonly dependency?: string;
  readonly main?: string;
  readonly needs?: Partial<ProgramNeeds>;
}

test('the same program packs to the same bytes', async () => {
  const first = await pack(now.base);
  expect((await pack(now.base)).sha256).toBe(first.sha256);
});

test('a dependency that is not installed, or not below the folder, is not packed', async () => {
  const made = join(now.folder, 'made');
  await writePackage(made, '2.0.0');
  const whole = { withDependencies: true, withModels: false };
  await symlink(join(now.base, 'node_modules', 'one'), join(made, 'linked'));
  const manifest = JSON.parse(await readFile(join(made, 'package.json'), 'utf8'));
  await writeFile(join(made, 'package.json'), JSON.stringify({ ...manifest, dependencies: { none: '1' } }));
  await expect(packProgram(made, join(now.folder, 'x'), whole)).rejects.toMatchObject({ code: 'not-found' });
  await writeFile(join(made, 'package.json'), JSON.stringify({ ...manifest, dependencies: { far: '1' } }));
  await symlink(join(now.base, 'node_modules', 'one'), join(made, 'node_modules', 'far'));
  await expect(packProgram(made, join(now.folder, 'x'), whole)).rejects.toThrow(/far is installed in/);
});

describe('the launcher', () => {
  test('is asked to switch, and its refusal is told', async () => {
    const switching = now.host.switchTo('f'.repeat(64), { soakMs: 5 });
    now.answer({ type: 'unknown' });
    now.answer({ type: 'answer', to: 'switch', problem: 'that program is not there' });
    await expect(switching).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/that program is not there/),
    });
    expect(now.sent).toEqual([{ type: 'switch', sha256: 'f'.repeat(64), soakMs: 5 }]);
  });

  test('has agreed: the switch waits for the stop, which the signal tells', async () => {
    const stop = new AbortController();
    const switching = now.host.switchTo(undefined, { soakMs: 5, readyMs: 7, signal: stop.signal });
    now.answer({ type: 'answer', to: 'switch' });
    stop.abort(new AppError('aborted', 'stopping'));
    await expect(switching).rejects.toMatchObject({ code: 'aborted' });
    expect(now.sent).toEqual([{ type: 'switch', sha256: null, soakMs: 5, readyMs: 7 }]);
  });

  test('stores a commit, and gives its verdict once', async () => {
    const committing = now.host.commit();
    now.answer({ type: 'answer', to: 'commit' });
    await committing;
    expect(now.host.takeVerdict()).toEqual({ sha256: 'd'.repeat(64), reason: 'it died' });
    expect(now.host.takeVerdict()).toBeUndefined();
    expect(now.sent).toEqual([{ type: 'commit' }, { type: 'verdict-taken' }]);
  });

  test('keeps what it may still start when the others are removed', async () => {
    const [kept, current, gone] = ['a'.repeat(64), 'b'.repeat(64), 'c'.repeat(64)];
    for (const name of [kept, current, gone, `.${gone}.tmp`]) await mkdir(slotFolder(now.state, name));
    await writeLaunchState(now.state, { format: 1, base: 'x', current, previous: null, failures: 0 });
    await now.host.collect(new Set([kept]));
    expect((await readdir(join(now.state, 'programs'))).toSorted()).toEqual([kept, current, 'state.json']);
  });

  test('is missing: then there is no host', async () => {
    const channel = Object.assign(new EventEmitter(), { send: () => true });
    const deps = { stateDir: now.state, channel, clock: manualClock(), nodeMajor: 24 };
    expect(await openProgramHost({ ...deps, env: {} })).toBeUndefined();
  });
});
