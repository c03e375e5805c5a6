/**
 * An engine that hangs in a run of the model `argv[3]`, with its marker in the folder `argv[2]`; when it is told
 * so it ends with SIGKILL, as an agent does.
 */
import { startGuardedEngine } from '../../agent/quarantine/guarded-engine.ts';
import { systemClock } from '../../shared/clock.ts';

const [, , stateDir = '', modelPath = ''] = process.argv;
const engine = await startGuardedEngine({
  points: [{ pe: 'cpu', level: 3, modelPath, threads: 1, providers: ['cpu'], sha256: 'a'.repeat(64) }],
  input: { name: 'image', shape: [1, 28, 28, 1] },
  output: { name: 'logits', shape: [1, 10] },
  runTimeoutMs: 10,
  clock: systemClock,
  stateDir,
  runtime: '1',
  onFatal: () => process.kill(process.pid, 'SIGKILL'),
  onMarkerLost: (error) => {
    throw error;
  },
});
await engine.load(0);
await engine.run(0, new Uint8Array(28 * 28));
