import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { machineMs } from '../../deploy/contend/monotonic.ts';
import { startContender } from '../../deploy/contend/start.ts';
import { temporaryFolder } from '../support/temp.ts';

const CONTENDER = fileURLToPath(new URL('../../deploy/contend/main.ts', import.meta.url));
const LONG = '0s=20%,10m=0%';

/** Processor time of a process and its threads, milliseconds (proc(5): fields 14 and 15 of stat, in 1/100 s). */
function busyMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** Starts a contender without waiting for more than its word that it is ready. */
async function contender(...args: string[]) {
  const child = fork(CONTENDER, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  await once(child, 'message');
  return child;
}

test('a contender ends with its script', async () => {
  await using folder = await temporaryFolder();
  const script = {
    kind: 'integer',
    workers: 1,
    steps: [
      { atMs: 0, duty: 0.5 },
      { atMs: 600, duty: 0 },
    ],
  } as const;
  const program = await startContender({ script, startMs: machineMs(), logFile: join(folder.path, 'log') });
  await program.ended;
});

test('a contender is busy for the share of time that its script says', async () => {
  const child = await contender('--kind', 'memory', '--script', '0s=0%,500ms=50%,1500ms=0%,30s=0%');
  const before = busyMs(child.pid ?? 0);
  const startMs = machineMs();
  while (machineMs() - startMs < 1_600) await new Promise((resolve) => setTimeout(resolve, 50));
  const busy = busyMs(child.pid ?? 0) - before;
  child.kill('SIGKILL');
  await once(child, 'exit');
  // Half of a second; a machine with other things to do may leave less of it.
  expect(busy).toBeGreaterThan(150);
  expect(busy).toBeLessThan(900);
});

test('a contender ends when the process that started it is gone', async () => {
  const child = await contender('--script', LONG);
  child.disconnect();
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('a contender ends when it is told to', async () => {
  const child = await contender('--workers', '2', '--script', LONG);
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('what cannot be done is refused in one line', async () => {
  const child = fork(CONTENDER, ['--script', '5s=90%'], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  expect(await once(child, 'close')).toEqual([2, null]);
  expect(said).toBe("contend: --script: '5s=90%' is not at least two steps that begin at 0s and rise\n");
});
