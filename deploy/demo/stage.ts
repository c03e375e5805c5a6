import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stopSignal } from '../../shared/program.ts';
import { type Controller, startController } from './fleet.ts';
import type { DemoOptions } from './options.ts';

/** The folder that the demonstration's programs keep their state in: one that stays, or one that `stack` removes. */
async function stateFolder(options: DemoOptions, stack: AsyncDisposableStack): Promise<string> {
  if (options.stateDir !== undefined) {
    const kept = resolve(options.stateDir);
    await mkdir(kept, { recursive: true, mode: 0o700 });
    return kept;
  }
  const temporary = await mkdtemp(join(tmpdir(), 'ofa-fleet-'));
  stack.defer(() => rm(temporary, { recursive: true, force: true }));
  return temporary;
}

/** Where words for people go: standard output belongs to the summary where that is JSON. */
export function streamOf({ json }: DemoOptions): NodeJS.WriteStream {
  return json ? process.stderr : process.stdout;
}

/** Writes words for people. */
export function say(options: DemoOptions, text: string): void {
  streamOf(options).write(text);
}

/** What every demonstration begins with; `stack` takes it down again. */
export interface Opened {
  readonly stateDir: string;
  readonly controller: Controller;
  /** Aborts at Ctrl-C. */
  readonly stopped: AbortController;
}

/** Makes the folder and starts the controller. */
export async function openStage(options: DemoOptions, stack: AsyncDisposableStack): Promise<Opened> {
  const stopped = new AbortController();
  void stopSignal().then(() => stopped.abort());
  const stateDir = await stateFolder(options, stack);
  const controller = await startController(stateDir, options);
  stack.defer(() => controller.program.stop());
  return { stateDir, controller, stopped };
}
