#!/usr/bin/env node
import { checkNodeVersion } from '../../shared/node-version.ts';

const problem = checkNodeVersion(process.versions, 'contend');
if (problem !== undefined) {
  process.stderr.write(`${problem}\n`);
  process.exit(1);
}
// Only now: an old Node.js must not parse newer code. Its threads end with the process.
const { run } = await import('./program.ts');
process.exit(await run());
