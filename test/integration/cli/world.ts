import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type FakeApi, startFakeApi } from './fake-api.ts';
import { type Here, runHere } from './in-process.ts';
import { type Outcome, type RunOptions, runFleet } from './run.ts';

export const TOKEN = 'secret-token-1234567890';

/** A scripted controller, and a user with a home of their own. */
export interface World extends AsyncDisposable {
  readonly api: FakeApi;
  readonly home: string;
  /** Runs the program as its user would; by default logged in by the environment. */
  fleet(args: readonly string[], options?: Partial<RunOptions>): Promise<Outcome>;
  /** The same in this process: quicker, and with a world that the test has made. */
  here(args: readonly string[], world?: Here): Promise<Outcome>;
}

/** Makes a world; when it ends, it says whether both sides kept to the API's schemas. */
export async function createWorld(): Promise<World> {
  const api = await startFakeApi();
  const home = await mkdtemp(join(tmpdir(), 'ofa-cli-'));
  const env = { OFA_FLEET_URL: api.url, OFA_FLEET_TOKEN: TOKEN };
  return {
    api,
    home,
    fleet: (args, options) => runFleet(args, { home, env, ...options }),
    here: (args, world) => runHere(args, env, world),
    [Symbol.asyncDispose]: async () => {
      await api[Symbol.asyncDispose]();
      await rm(home, { recursive: true });
      expect(api.breaches).toEqual([]);
    },
  };
}

/** The words of a command line without quotes. */
export function words(line: string): string[] {
  return line.split(' ');
}
