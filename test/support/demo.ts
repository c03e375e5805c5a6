import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runHere } from '../integration/cli/in-process.ts';

const DEMO = fileURLToPath(new URL('../../deploy/demo/main.ts', import.meta.url));

/** The demonstration as a process, and the command line that speaks to it. */
export class Demo implements AsyncDisposable {
  readonly #dir: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  #stdout = '';
  #env: NodeJS.ProcessEnv = {};

  private constructor(dir: string, args: readonly string[]) {
    this.#dir = dir;
    this.#child = spawn(process.execPath, [DEMO, '--state', join(dir, 'state'), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#exited = once(this.#child, 'exit');
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
  }

  /** Starts it and waits until the command line can reach it. */
  static async start(...args: string[]): Promise<Demo> {
    const demo = new Demo(await mkdtemp(join(tmpdir(), 'ofa-demo-')), args);
    const url = await demo.#waitForText(/^API\s+(\S+)/m);
    const token = await readFile(join(demo.#dir, 'state', 'token'), 'utf8');
    demo.#env = { OFA_FLEET_URL: url, OFA_FLEET_TOKEN: token.trim() };
    return demo;
  }

  /** Waits until standard output has a match, and answers with its first group. */
  async #waitForText(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.#stdout)?.[1];
      if (found !== undefined) return found;
      if (this.#child.stdout === null) throw new Error('the demonstration has no output');
      await Promise.race([once(this.#child.stdout, 'data'), this.#exited]);
      if (this.#child.exitCode !== null) throw new Error(`the demonstration ended: ${this.#stdout}`);
    }
  }

  /** Runs `ofa-fleet` with these words, in this process: a demonstration leaves no CPU for many others. */
  async fleet(...words: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const { status, out: stdout, err: stderr } = await runHere(words, this.#env);
    return { status, stdout, stderr };
  }

  /** Runs `ofa-fleet ... -o json` and parses what it prints. */
  async json(...words: string[]): Promise<unknown> {
    const { stdout, stderr, status } = await this.fleet(...words, '-o', 'json');
    if (status !== 0) throw new Error(`ofa-fleet ${words.join(' ')}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** Stops it as Ctrl-C does; answers with its exit status and all that it printed. */
  async stop(): Promise<{ status: number | null; stdout: string }> {
    this.#child.kill('SIGINT');
    await this.#exited;
    return { status: this.#child.exitCode, stdout: this.#stdout };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) await this.stop();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

/** Runs the demonstration to its own end, on a temporary folder. */
export async function runDemo(
  ...args: string[]
): Promise<{ status: unknown; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [DEMO, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      written[name] += text;
    });
  }
  const [status]: unknown[] = await once(child, 'close');
  return { status, ...written };
}
