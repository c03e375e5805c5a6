import { text as readAll } from 'node:stream/consumers';
import { createTerminal, type Terminal } from '../../shared/cli/terminal.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { type Api, createApi } from './api.ts';
import { createClient } from './client.ts';
import { findCredentials } from './credentials.ts';
import { askHidden } from './hidden-input.ts';

/** What the commands have of the world around them. */
export interface Cli extends Terminal {
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
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
    readSecret: (prompt) => (process.stdin.isTTY ? askHidden(prompt) : readAll(process.stdin)),
    connect: async () => createApi(createClient(await findCredentials(env))),
  };
}
