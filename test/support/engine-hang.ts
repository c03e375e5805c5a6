/**
 * A program whose engine hangs in a run of the model given to it. It prints what it saw of that as JSON and
 * ends with SIGKILL, the only clean end while a native call is in flight.
 */
import { startEngine } from '../../agent/engine/engine.ts';
import { systemClock } from '../../shared/clock.ts';
import { AppError } from '../../shared/errors.ts';

const fatal: string[] = [];
const engine = await startEngine({
  points: [{ pe: 'cpu', level: 3, modelPath: process.argv[2] ?? '', threads: 1, providers: ['cpu'] }],
  input: { name: 'image', shape: [1, 28, 28, 1] },
  output: { name: 'logits', shape: [1, 10] },
  runTimeoutMs: 10,
  clock: systemClock,
  onFatal: (error) => fatal.push(`${error.code}: ${error.message}`),
});

function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => 'fine',
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  );
}

const frame = new Uint8Array(28 * 28);
const together = await Promise.all([codeOf(engine.run(0, frame)), codeOf(engine.run(0, frame))]);
const later = await codeOf(engine.run(0, frame));
const closing = await codeOf(engine.close());
process.stdout.write(JSON.stringify({ together, later, closing, fatal }), () => {
  process.kill(process.pid, 'SIGKILL');
});
