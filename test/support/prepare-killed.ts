/**
 * A device that is killed while it makes a family ready: it serves the family of `argv[3]` on the state folder
 * `argv[2]` and prepares that of `argv[4]` beside it, again and again, until somebody kills it. Whoever started it
 * is told when frames are answered.
 */
import { openAgentDatabase } from '../../agent/store/database.ts';
import { readFamily } from '../../shared/family/read.ts';
import { hostedDevice } from './family-host.ts';

const [, , stateDir = '', serving = '', other = ''] = process.argv;
const nothing = (): void => undefined;
const { host } = await hostedDevice({
  family: serving,
  state: {
    path: stateDir,
    open: () => openAgentDatabase(stateDir),
    [Symbol.dispose]: nothing,
    [Symbol.asyncDispose]: async () => nothing(),
  },
});
const family = await readFamily(other);
process.send?.('serving');
for (;;) {
  await using _prepared = await host.prepare(family, new AbortController().signal);
}
