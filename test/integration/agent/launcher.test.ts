import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { readLaunchState } from '../../../agent/slots/launch-state.ts';
import { slotFolder } from '../../../agent/slots/places.ts';
import { fakeMain, writeProgram } from '../../support/fake-program.ts';
import { temporaryFolder } from '../../support/temp.ts';

const LAUNCHER = fileURLToPath(new URL('../../support/launcher.ts', import.meta.url));
const NEXT = 'a'.repeat(64);
const READY = "send({ type: 'ready' });";
/** Sends the message of a file, once. */
const ORDERED = `${READY}
if (fs.existsSync(state + '/order')) {
  send(JSON.parse(fs.readFileSync(state + '/order')));
  fs.rmSync(state + '/order');
}`;

const launchers: ChildProcess[] = [];

afterEach(async () => {
  for (const child of launchers.splice(0)) await end(child, 'SIGKILL');
});

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** A launcher as a process, and all that it and its programs say. */
function start(state: string, base: string) {
  const child = spawn(process.execPath, [LAUNCHER, state, base], { stdio: ['ignore', 'pipe', 'pipe'] });
  launchers.push(child);
  let said = '';
  const seen = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      for (const look of seen) look();
    });
  }
  /** Resolves when so many lines fit. */
  const hears = (pattern: RegExp, times = 1): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if ([...said.matchAll(new RegExp(pattern, 'g'))].length < times) return;
        seen.delete(look);
        resolve();
      };
      seen.add(look);
      child.once('error', reject);
      look();
    });
  return { child, hears, said: () => said, stop: () => end(child, 'SIGTERM') };
}

interface World extends AsyncDisposable {
  readonly state: string;
  readonly base: string;
}

/** A state folder with the program by hand, a second program, and an order to switch to it. */
async function world(
  body: string,
  order: object = { type: 'switch', sha256: NEXT, soakMs: 60_000 },
): Promise<World> {
  const folder = await temporaryFolder();
  const state = join(folder.path, 'state');
  const base = join(folder.path, 'base');
  await mkdir(state);
  await writeProgram(base, fakeMain('base', ORDERED));
  await writeProgram(slotFolder(state, NEXT), fakeMain('next', body));
  await writeFile(join(state, 'order'), JSON.stringify(order));
  return { state, base, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

test('a program that becomes ready and commits takes the place of the one by hand, for good', async () => {
  await using at = await world(`${READY} send({ type: 'commit' });`);
  const first = start(at.state, at.base);
  await first.hears(/next hears commit done/);
  expect(await readLaunchState(at.state)).toMatchObject({ current: NEXT, previous: null });
  await first.stop();
  expect(existsSync(join(at.state, 'programs', 'database-before'))).toBe(false);
  expect(first.child.exitCode).toBe(0);
  const order = ['base hears switch done', 'base stops', 'next starts', 'next stops'];
  const places = order.map((text) => first.said().indexOf(text));
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  expect(places[0]).toBeGreaterThan(0);
  const second = start(at.state, at.base);
  await second.hears(/next starts/);
  expect(second.said()).not.toContain('base starts');
});

test('a program that crashes is started three times, then the one before runs and hears why', async () => {
  await using at = await world('process.exit(7);');
  const { hears, said } = start(at.state, at.base);
  await hears(/base starts/, 2);
  expect([...said().matchAll(/next starts/g)]).toHaveLength(3);
  expect(said()).not.toContain('OVERLAPS');
  expect((await readLaunchState(at.state))?.verdict).toEqual({
    slot: NEXT,
    reason: 'it died 3 times; the last time: exit status 7',
  });
});

test('a program that hangs is stopped when it is not ready in time', async () => {
  await using at = await world('', { type: 'switch', sha256: NEXT, soakMs: 60_000, readyMs: 200 });
  const { hears, said } = start(at.state, at.base);
  await hears(/base starts/, 2);
  expect(said()).toContain('next stops');
  expect((await readLaunchState(at.state))?.verdict?.reason).toBe('it did not become ready within 0.2 s');
});

test('the database goes back with the program when the schema has become newer, and only then', async () => {
  for (const { version, text } of [
    { version: 3, text: 'new' },
    { version: 4, text: 'old' },
  ]) {
    const touch = `
      const header = Buffer.alloc(100);
      header.writeUInt32BE(${version}, 60);
      fs.writeFileSync(state + '/agent.db', Buffer.concat([header, Buffer.from('new')]));
      process.exit(1);`;
    await using at = await world(touch);
    const header = Buffer.alloc(100);
    header.writeUInt32BE(3, 60);
    await writeFile(join(at.state, 'agent.db'), Buffer.concat([header, Buffer.from('old')]));
    const launcher = start(at.state, at.base);
    await launcher.hears(/base starts/, 2);
    const now = await readFile(join(at.state, 'agent.db'));
    expect(now.subarray(100).toString()).toBe(text);
    await launcher.stop();
  }
});

test('launchers that are killed count as deaths of the program on trial, and never leave two running', async () => {
  await using at = await world(READY);
  let kills = 0;
  for (; kills < 3; kills += 1) {
    const launcher = start(at.state, at.base);
    await launcher.hears(/next starts/);
    await end(launcher.child, 'SIGKILL');
  }
  const last = start(at.state, at.base);
  await last.hears(/base starts/);
  expect(last.said()).not.toContain('OVERLAPS');
  expect((await readLaunchState(at.state))?.verdict?.reason).toMatch(
    /power was lost, or the launcher was killed/,
  );
});

test('a state that cannot be understood starts the program by hand, which is started again when it dies', async () => {
  await using at = await world(READY, { type: 'ready' });
  await writeFile(join(at.state, 'programs', 'state.json'), '{"format":1,');
  const { hears, said } = start(at.state, at.base);
  await hears(/base starts/);
  expect(await readLaunchState(at.state)).toMatchObject({ current: null });
  await start(at.state, at.base).hears(/another launcher runs there/);
  process.kill(Number(/base starts (\d+)/.exec(said())?.[1]), 'SIGKILL');
  await hears(/base starts/, 2);
});
