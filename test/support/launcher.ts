import { join } from 'node:path';
import { launch } from '../../agent/launch/command.ts';

/** A launcher as a process that a test may kill: `launcher.ts STATE BASE`. */
const [state = '', base = ''] = process.argv.slice(2);
await launch({
  state,
  env: process.env,
  args: ['--device', 'a'],
  base: { root: base, main: join(base, 'dist', 'agent', 'main.js') },
  random: Math.random,
  policy: { firstMs: 10, capMs: 100 },
});
// As the program itself does: nothing that is left over may keep it.
process.exit(0);
