import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Cli, createCli } from '../../controller/cli/context.ts';
import { addFamily } from '../../controller/cli/family.ts';
import { addProgramPublish } from '../../controller/cli/program-publish.ts';
import { addReleaseList } from '../../controller/cli/release-list.ts';
import { formatSheet } from '../../shared/cli/format.ts';
import { describeError, exitCodeOf } from '../../shared/errors.ts';
import { tarOf } from '../../shared/tar.ts';
import { manualClock } from '../support/clock.ts';
import {
  BUNDLED_BACKBONE,
  BUNDLED_FAMILY,
  openReleaseWorld,
  type ReleaseServer,
  type ReleaseWorld,
  serveReleases,
  writeKeys,
} from '../support/releases.ts';
import { temporaryFolder } from '../support/temp.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let world: ReleaseWorld;
let server: ReleaseServer;
let keys: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  world = await openReleaseWorld(join(folder.path, 'state'));
  server = await serveReleases(world.releases);
  keys = await writeKeys(join(folder.path, 'keys'));
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Runs a command in this process, against the real routes. */
async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const env = { OFA_FLEET_URL: server.url, OFA_FLEET_TOKEN: 'token', OFA_FLEET_KEYS: keys };
  const told = { out: '', err: '' };
  const cli: Cli = {
    ...createCli(env),
    clock: world.clock,
    write: (text) => {
      told.out += text;
    },
    note: (line) => {
      told.err += `${line}\n`;
    },
    print: (sheet, format) => {
      told.out += formatSheet(sheet, { format, color: false });
    },
  };
  const program = new Command('ofa-fleet').version('0.0.0').enablePositionalOptions();
  addFamily(program, cli);
  const ofProgram = program.command('program');
  addProgramPublish(ofProgram, cli);
  addReleaseList(ofProgram, 'program', cli);
  try {
    await program.parseAsync(args, { from: 'user' });
    return { status: 0, ...told };
  } catch (error) {
    return { status: exitCodeOf(error), out: told.out, err: `${told.err}${describeError(error)}\n` };
  }
}

const publish = (...args: string[]) => run('family', 'publish', BUNDLED_FAMILY, ...args);

/** The bundled family with another accuracy of its cheapest level. */
async function retrained(): Promise<string> {
  const path = join(folder.path, 'retrained');
  await cp(BUNDLED_FAMILY, path, { recursive: true });
  const file = join(path, 'family.json');
  const manifest = JSON.parse(await readFile(file, 'utf8'));
  manifest.levels[0].accuracy = 0.5;
  manifest.levels.pop();
  await writeFile(file, JSON.stringify({ ...manifest, version: 3 }));
  return path;
}

describe('family publish', () => {
  it('signs here, sends each blob once, and does nothing the second time', async () => {
    const first = await publish();
    expect(first).toMatchObject({ status: 0, out: expect.stringMatching(/fashion-mnist +2 +full .* ok$/m) });
    expect(first.err).toMatch(/^uploading (\d+) of \1 blobs, /m);
    expect(first.err).toMatch(/^1\/\d+ family [0-9a-f]{12}: 6\.98 kB$/m);
    expect(first.err).toMatch(/^published family fashion-mnist 2, signed by ci \(key [0-9a-f]{16}\)$/m);
    await world.clock.advance(60_000);
    const again = await publish('-o', 'json');
    expect(again.err).toBe('family fashion-mnist 2 is published already, with the same content\n');
    expect(JSON.parse(again.out)).toMatchObject({ version: 2, publishedTs: manualClock().now() });
    const as = await publish('--expires', '2d', '--arch', 'arm64, x64', '--board', 'Orin', '--board', 'Nano');
    expect(as).toMatchObject({
      status: 1,
      err: expect.stringContaining('publish this one with --version 3'),
    });
  });

  it('says for what machines and until when, and sends no blob that is there', async () => {
    await publish();
    const args = ['--version', '5', '--expires', '2d', '--min-agent', '0.2.0', '--key', 'ci'];
    const fit = ['--arch', 'arm64, x64', '--board', 'Orin', '--board', 'Nano', '--min-memory', '4GiB'];
    const next = await publish(...args, ...fit);
    expect(next).toMatchObject({ status: 0, err: expect.not.stringContaining('uploading') });
    const { manifest } = world.releases.require('family', 'fashion-mnist');
    expect(manifest).toMatchObject({
      ...{ version: 5, minAgent: '0.2.0', expiresTs: manifest.createdTs + 2 * 86_400_000 },
      hardware: { arch: ['arm64', 'x64'], models: ['Orin', 'Nano'], minMemoryBytes: 4 * 2 ** 30 },
    });
    const { out } = await run('family', 'show', 'fashion-mnist');
    expect(out).toMatch(/^hardware +arm64 or x64, Orin or Nano, at least 4\.29 GB of memory$/m);
    expect(out).toMatch(/^agent +0\.2\.0 or newer$/m);
    expect(out).toMatch(/^level 0 +accuracy [\d.]+%, /m);
    const old = await publish('--version', '4');
    expect(old).toMatchObject({ status: 1, err: expect.stringContaining('version 5 is there already') });
  });

  it('as recipes brings the backbone and none of the models', async () => {
    const lacking = await publish('--form', 'recipes');
    expect(lacking).toMatchObject({
      status: 2,
      err: expect.stringContaining('models/backbones/NAME/backbone.safetensors'),
    });
    expect((await publish('--backbone', BUNDLED_BACKBONE)).status).toBe(2);
    expect((await publish('--form', 'recipes', '--backbone', BUNDLED_BACKBONE)).status).toBe(0);
    const { manifest } = world.releases.require('family', 'fashion-mnist');
    expect(new Set(manifest.blobs.map(({ role }) => role))).toEqual(
      new Set(['family', 'recipe', 'backbone']),
    );
  });

  it('refuses words that are wrong before anything is sent', async () => {
    for (const [args, message] of [
      [['--form', 'half'], "'half' is not one of full, recipes"],
      [['--min-agent', '2'], 'is not a version'],
      [['--arch', 'arm64,'], 'empty word'],
      [['--expires', '0s'], 'not above zero'],
      [['--min-memory', '4W'], 'is a power'],
      [['--version', '0'], 'whole number above zero'],
    ] as const) {
      expect(await publish(...args)).toEqual({ status: 2, out: '', err: expect.stringContaining(message) });
    }
    expect((await run('family', 'publish', folder.path)).status).toBe(3);
    expect((await publish('--key', 'other')).status).toBe(3);
    world.facts.keyring = undefined;
    expect(await publish()).toMatchObject({ err: expect.stringMatching(/^(?!uploading).*no keyring/) });
  });
});

describe('an upload', () => {
  const send = ['family', 'publish', BUNDLED_FAMILY, '--form', 'recipes', '--backbone', BUNDLED_BACKBONE];

  it('that the controller refuses says why, also when it is refused before its end', async () => {
    world.facts.freeBytes = 0;
    const { status, err } = await run(...send);
    expect([status, err]).toEqual([1, expect.stringContaining("the controller's disk has room for 0")]);
    world.facts.freeBytes = undefined;
    expect((await run(...send)).status).toBe(0);
  });

  it('goes on where it was cut off', async () => {
    // Room for all but the backbone, which comes last.
    world.facts.freeBytes = 256 * 2 ** 20 + 2 ** 20;
    const { err } = await run(...send);
    expect(err).toMatch(/ backbone [0-9a-f]{12}: 4\.83 MB\nblob [0-9a-f]{64}: 4833912 bytes, and /);
    world.facts.freeBytes = undefined;
    expect((await run(...send)).err).toMatch(/^uploading 1 of \d+ blobs, 4\.83 MB\n1\/1 backbone /);
  });

  it('to nobody says that the controller cannot be reached', async () => {
    await server[Symbol.asyncDispose]();
    expect((await run(...send)).status).toBe(7);
  });
});

describe('published families', () => {
  it('are compared by level, and by what a device would fetch', async () => {
    await publish();
    await run('family', 'publish', await retrained());
    const { out, err } = await run('family', 'diff', 'fashion-mnist', '2', '3');
    expect(out).toMatch(/^changed +0 +0 +\w+ +[\d.]+% +50%/m);
    expect(out).toMatch(/^removed +\d+ +- +\w+ /m);
    expect(err).toMatch(/^a device with version 2 fetches [\d.]+ kB in 2 blobs for version 3$/m);
    const back = JSON.parse((await run('family', 'diff', 'fashion-mnist', '3', '2', '-o', 'json')).out);
    expect(back.levels.filter(({ change }: { change: string }) => change === 'added')).toHaveLength(1);
    expect(back.fetch.blobs).toBe(4);
    expect((await run('family', 'diff', 'fashion-mnist', '2', '9')).status).toBe(3);
  });

  it('cost a device with the recipes no models: it has cut them', async () => {
    await publish('--form', 'recipes', '--backbone', BUNDLED_BACKBONE);
    await publish('--version', '3');
    const { fetch } = JSON.parse((await run('family', 'diff', 'fashion-mnist', '2', '3', '-o', 'json')).out);
    expect(fetch).toEqual({
      blobs: 1,
      bytes: world.releases.require('family', 'fashion-mnist').ref.manifest.bytes,
    });
  });

  it('are listed, shown and, when it is meant, deleted', async () => {
    expect((await run('family', 'list')).err).toBe('no family is published\n');
    expect((await run('family', 'show', 'fashion-mnist')).status).toBe(3);
    await publish('--expires', '1h');
    const shown = JSON.parse((await run('family', 'show', 'fashion-mnist', '2', '-o', 'json')).out);
    expect(shown.family.name).toBe('fashion-mnist');
    expect(shown.manifest.blobs[0]).not.toHaveProperty('chunks');
    await world.clock.advance(3_600_000);
    expect((await run('family', 'list', 'fashion-mnist')).out).toMatch(
      / 1h ago +0s ago +[0-9a-f]{16} +expired$/m,
    );
    const unmeant = await run('family', 'delete', 'fashion-mnist', '2');
    expect(unmeant).toMatchObject({ status: 2, err: expect.stringContaining('--yes') });
    expect(await run('family', 'delete', 'fashion-mnist', '2', '--yes')).toEqual({
      ...{ status: 0, out: '' },
      err: 'family fashion-mnist 2 is deleted\n',
    });
    expect((await run('family', 'delete', 'fashion-mnist', '2', '--yes')).status).toBe(3);
  });
});

/** What `program pack` makes, of three small files. */
async function packedProgram(path: string, needs: object): Promise<void> {
  const texts = {
    'dist/agent/main.js': '',
    'ofa-program.json': JSON.stringify(needs),
    'package.json': JSON.stringify({ name: 'ofa-fleet', version: '0.2.0' }),
  };
  const files = Object.entries(texts).map(([name, text]) => ({
    ...{ path: `package/${name}`, isExecutable: false, bytes: text.length },
    open: () => Readable.from([Buffer.from(text)]),
  }));
  await writeFile(path, Readable.from(tarOf(files)));
}

it('a program is published the same way, with what it says that it needs', async () => {
  const path = join(folder.path, 'agent.tgz');
  const needs = { version: '0.2.0', dependencies: 'a'.repeat(64), minNode: 24 };
  await packedProgram(path, needs);
  const words = ['program', 'publish', path, '--version', '1'];
  const { status, out } = await run(...words, '-o', 'json');
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ kind: 'program', name: 'ofa-agent', version: 1, blobs: 1 });
  expect(world.releases.require('program', 'ofa-agent').manifest.program).toEqual(needs);
  expect((await run('program', 'list')).out).toMatch(/^ofa-agent +1 +- +1 +\d+ B/m);
  await writeFile(path, 'no program');
  const other = await run('program', 'publish', path, '--version', '2');
  expect(other).toMatchObject({ status: 1, err: expect.stringContaining(path) });
});
