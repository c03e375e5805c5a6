#!/usr/bin/env node
import { checkNodeVersion } from '../shared/node-version.ts';

const problem = checkNodeVersion(process.versions, 'ofa-models');
if (problem !== undefined) {
  process.stderr.write(`${problem}\n`);
  process.exit(1);
}
// Only now: an old Node.js must neither parse newer code nor load native modules.
const { run } = await import('./program.ts');
process.exit(await run());
