import type { Writable } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { createTerminal, type Terminal } from '../../shared/cli/terminal.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { stopSignal } from '../../shared/program.ts';
import { type Api, createApi } from './api.ts';
import { findCredentials } from './credentials.ts';
import { askHidden } from './hidden-input.ts';

/** What the commands have of the world around them. */
export interface Cli extends Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  /** Data that comes bit by bit: what is written waits until it is read. */
  readonly stdout: Writable;
  /** Resolves when the user wants no more. */
  readonly stopped: () => Promise<unknown>;
  /** A secret from standard input; a person is asked for it and does not see it. */
  readonly readSecret: (prompt: string) => Promise<string>;
  /** The controller that we are logged in to. */
  readonly connect: () => Promise<Api>;
}

/** The commands' surroundings in this process. */
export function createCli(env: NodeJS.ProcessEnv): Cli {
  return {
    ...createTerminal(env),
    env,
    clock: systemClock,
    stdout: process.stdout,
    stopped: stopSignal,
    readSecret: (prompt) => (process.stdin.isTTY ? askHidden(prompt) : readAll(process.stdin)),
    connect: async () => createApi(await findCredentials(env)),
  };
}
