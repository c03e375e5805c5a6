/**
 * An agent's engine that dies: it brings the family of `argv[3]` into service on the state folder `argv[2]` and
 * ends as `argv[4]` says, `abort` with a run of the last level in flight or `idle` by SIGKILL with none. What
 * it was told of the death before it is printed first.
 */
import { bringIntoService } from '../../agent/serving.ts';
import { openAgentDatabase } from '../../agent/store/database.ts';
import { systemClock } from '../../shared/clock.ts';
import { configOf } from './engine-family.ts';

const [, , stateDir = '', family = '', end = 'idle'] = process.argv;
const serving = await bringIntoService(
  {
    config: configOf(stateDir, family),
    database: openAgentDatabase(stateDir),
    clock: systemClock,
    onFatal: (error) => {
      throw error;
    },
  },
  new AsyncDisposableStack(),
);
const last = serving.points.length - 1;
const frame = new Uint8Array(28 * 28);
await serving.engine.run(last, frame);
process.stdout.write(JSON.stringify({ sentence: serving.judgements[0]?.sentence ?? null }), () => {
  if (end === 'idle') process.kill(process.pid, 'SIGKILL');
  void serving.engine.run(last, frame);
  process.abort();
});
