import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../shared/package.ts';
import { examplesOf } from './blocks.ts';

/** What the README's first terminal shows when the second one may begin. */
const READY = 'Ctrl-C stops everything.';
const READY_TIMEOUT_MS = 120_000;
/** What the README's commands make: state that trusts keys of another time, families of versions that are taken. */
const MADE = ['/tmp/demo-fleet', '/tmp/ofa-wrong', '/tmp/ofa-slow', '/tmp/ofa-good'];

/** Runs every command of the README as it is written, in the order in which it stands there. */
async function walkThrough(): Promise<boolean> {
  // As a reader begins.
  for (const path of MADE) rmSync(path, { recursive: true, force: true });
  const own = mkdtempSync(join(tmpdir(), 'ofa-readme-'));
  const env = { ...process.env, XDG_CONFIG_HOME: own, NO_COLOR: '1' };
  const shell = (command: string, stdout: 'pipe' | 'inherit'): ChildProcess =>
    spawn('bash', ['-c', command], {
      cwd: packageRoot(),
      env,
      stdio: ['ignore', stdout, 'inherit'],
      detached: stdout === 'pipe',
    });
  const background: Terminal[] = [];
  let failed = 0;
  try {
    for (const { inBackground, commands } of examplesOf(
      readFileSync(join(packageRoot(), 'README.md'), 'utf8'),
    )) {
      for (const command of commands) {
        process.stdout.write(`\n$ ${command}\n`);
        if (inBackground) background.push(await untilReady(shell(command, 'pipe')));
        else if (!(await succeeds(shell(command, 'inherit')))) failed += 1;
      }
    }
  } finally {
    for (const terminal of background) failed += (await interrupt(terminal)) ? 0 : 1;
    rmSync(own, { recursive: true, force: true });
  }
  process.stdout.write(
    failed === 0 ? "\nthe README's commands all work\n" : `\n${failed} commands of the README failed\n`,
  );
  return failed === 0;
}

async function succeeds(child: ChildProcess): Promise<boolean> {
  const [status] = await once(child, 'exit');
  if (status !== 0) process.stdout.write(`(exit status ${status})\n`);
  return status === 0;
}

/** A terminal of its own: what it has shown so far, and its end. */
interface Terminal {
  readonly child: ChildProcess;
  readonly text: () => string;
  /** Resolves when everything that writes to it has ended. */
  readonly closed: Promise<unknown[]>;
}

async function untilReady(child: ChildProcess): Promise<Terminal> {
  const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
  const closed = once(child, 'close');
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  while (!text.includes(READY)) {
    if (child.stdout === null || child.exitCode !== null)
      throw new Error(`it ended before it was ready: ${text}`);
    await Promise.race([once(child.stdout, 'data', { signal }), closed]);
  }
  process.stdout.write(text);
  return { child, text: () => text, closed };
}

/** Ctrl-C, which the whole group of the terminal hears; it has to end with every window accounted for. */
async function interrupt({ child, text, closed }: Terminal): Promise<boolean> {
  if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGINT');
  await closed;
  const account = text().slice(text().lastIndexOf('Stopping:'));
  process.stdout.write(`\n^C\n${account}`);
  return /\b0 missing\n/.test(account) && !/\b[1-9]\d* missing\n/.test(account);
}

process.exitCode = (await walkThrough()) ? 0 : 1;
