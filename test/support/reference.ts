import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

/** Where the data to check against lies: `OFA_REFERENCE`, or the folder beside the project. */
export function referencePath(...parts: readonly string[]): string {
  return join(resolve(ROOT, process.env['OFA_REFERENCE'] ?? '../shared/reference'), ...parts);
}

/**
 * A test against reference data. Where the data is absent the test is skipped, and its name says so.
 * @param path what the test needs, from the reference folder: `ofa/public.json`
 */
export function testWithReference(
  path: string,
  name: string,
  body: () => void | Promise<void>,
  timeoutMs?: number,
): void {
  const place = referencePath(path);
  if (existsSync(place)) test(name, body, timeoutMs);
  else test.skip(`${name} [skipped: there is no ${place}; set OFA_REFERENCE]`, () => undefined);
}
