import { join } from 'node:path';
import { Command } from 'commander';
import { expect, test, vi } from 'vitest';
import { startEngine } from '../../agent/engine/engine.ts';
import { addRecordCommand, type RecordedDevice } from '../../agent/record/command.ts';
import { readTrace } from '../../agent/simulate/trace.ts';
import { systemClock } from '../../shared/clock.ts';
import { bundledFamily, bundledImages, cpuPoints } from '../support/bundled.ts';
import { temporaryFolder } from '../support/temp.ts';

/** The bundled family in a real engine. */
async function openBundled(): Promise<RecordedDevice> {
  const family = await bundledFamily();
  const { input, output, levels } = family.manifest;
  const [image] = await bundledImages(1);
  const engine = await startEngine({
    points: cpuPoints(family),
    input,
    output,
    runTimeoutMs: 30_000,
    clock: systemClock,
    onFatal: (error) => {
      throw error;
    },
  });
  return {
    engine,
    profile: levels.map(({ accuracy }, level) => ({ pe: 'cpu', level, accuracy, latencyMs: 1 })),
    nextFrame: async () => image?.pixels ?? new Uint8Array(),
    clock: systemClock,
    periodMs: 25,
    deadlineMs: undefined,
    [Symbol.asyncDispose]: () => engine.close(),
  };
}

test('the record command writes a trace of the levels of a real engine', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'trace.json');
  const command = addRecordCommand(new Command('record'), openBundled);
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  await command.parseAsync(['--to', path, '--for', '500ms', '-o', 'json'], { from: 'user' });
  const printed: unknown = JSON.parse(String(write.mock.calls[0]?.[0]));
  write.mockRestore();
  const trace = await readTrace(path);
  expect(printed).toMatchObject({ file: path, frames: trace.latencyMs.length, askedFrames: 20 });
  expect(trace).toMatchObject({ periodMs: 25, deadlineMs: 25 });
  expect(trace.levels.length).toBeGreaterThan(1);
  expect(trace.latencyMs.length).toBeGreaterThan(5);
  expect(trace.latencyMs.length).toBeLessThanOrEqual(20);
});
