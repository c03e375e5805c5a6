/**
 * A program that closes its engine while every slot is taken, and ends by itself. Its exit code is what the
 * test looks at: a thread ended during a native call aborts the whole process.
 */
import { startEngine } from '../../agent/engine/engine.ts';
import { systemClock } from '../../shared/clock.ts';
import { bundledFamily, cpuPoints } from './bundled.ts';

const SLOTS = 4;

const family = await bundledFamily();
const { input, output } = family.manifest;
const points = cpuPoints(family);
const engine = await startEngine({
  points,
  input,
  output,
  slots: SLOTS,
  runTimeoutMs: 30_000,
  clock: systemClock,
  onFatal: (error) => {
    throw error;
  },
});
const frame = new Uint8Array(28 * 28);
const runs = Array.from({ length: SLOTS }, () => engine.run(points.length - 1, frame));
await Promise.all([engine.close(), ...runs]);
process.stdout.write('closed\n');
