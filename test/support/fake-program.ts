import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export const FAKE_VERSION = '9.9.9';

/**
 * A program in a few lines, for tests of the launcher: it says on standard output what happens to it, and whether
 * another one runs at the same time. Its body may use `send`, `say`, `fs` and `state`.
 */
export function fakeMain(name: string, body: string): string {
  return `
import fs from 'node:fs';
if (process.argv[2] === '--version') { console.log('${FAKE_VERSION}'); process.exit(0); }
const state = process.env.OFA_AGENT_LAUNCHED_STATE;
const say = (text) => fs.writeSync(1, '${name} ' + text + '\\n');
const send = (message) => process.send(message);
// One that has died and was not fetched yet still has its number, and no environment.
const lives = (pid) => { try { return fs.readFileSync('/proc/' + pid + '/environ', 'latin1').includes(state); } catch { return false; } };
for (const file of fs.readdirSync(state)) {
  const pid = Number(/^pid-(\\d+)$/.exec(file)?.[1]);
  if (pid > 0 && lives(pid)) say('OVERLAPS');
}
fs.writeFileSync(state + '/pid-' + process.pid, '');
say('starts ' + process.pid);
const end = (why) => { say(why); fs.rmSync(state + '/pid-' + process.pid); process.exit(0); };
process.on('SIGTERM', () => end('stops'));
process.on('disconnect', () => end('is alone'));
process.on('message', (message) => say('hears ' + message.to + ' ' + (message.problem ?? 'done')));
setInterval(() => undefined, 1_000);
${body}
`;
}

/** Writes a program where the launcher looks for it. */
export async function writeProgram(folder: string, main: string): Promise<void> {
  const path = join(folder, 'dist', 'agent', 'main.js');
  await mkdir(dirname(path), { recursive: true });
  const manifest = { name: 'ofa-fleet', version: FAKE_VERSION, type: 'module' };
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
  await writeFile(path, main);
}
