import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { expect, test, vi } from 'vitest';
import { addSimulateCommand } from '../../../agent/simulate/command.ts';
import { temporaryFolder } from '../../support/temp.ts';

/** Runs the command in this process; what it prints is its result. */
async function simulate(...args: readonly string[]): Promise<string> {
  let printed = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  try {
    const program = new Command('ofa-agent');
    const command = addSimulateCommand(program.command('simulate'));
    for (const each of [program, command])
      each.exitOverride().configureOutput({ outputError: () => undefined });
    await program.parseAsync(['simulate', ...args], { from: 'user' });
    return printed;
  } finally {
    write.mockRestore();
  }
}

async function simulateJson(...args: readonly string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await simulate(...args, '-o', 'json')) as Record<string, unknown>;
}

const STEP = ['--scenario', 'step', '--levels', 'jetson-gpu', '--seed', '3'];

test('a generated trace that was written gives the same figures when it is read', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'a-step.json');
  const generated = await simulateJson(
    '--policy',
    'ofa',
    '--miss-share',
    '2%',
    ...STEP,
    '--write-trace',
    path,
  );
  const read = await simulateJson(
    '--policy',
    'ofa',
    '--miss-share',
    '2%',
    '--trace',
    path,
    '--step-at',
    '20s',
  );
  const { miss, regret, switches_per_min } = generated;
  expect(read).toMatchObject({ frames: 900, deadlineMs: 66.7, miss, regret });
  expect(read['switches_per_min']).toBeCloseTo(Number(switches_per_min), 9);
  expect(generated['settle_s']).toBeLessThan(2);
  const names = (json: Record<string, unknown>) =>
    (json['figures'] as { name: string }[]).map(({ name }) => name);
  expect(names(generated)).toContain('jetson-gpu.step.ofa.aba_per_min');
  expect(names(read)).toContain('a-step.trace.ofa.regret');
});

test('what became of each frame is kept as JSON lines', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'frames.jsonl');
  const { miss } = await simulateJson('--policy', 'static:5', ...STEP, '--frames-out', path);
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  const frames = lines.map(
    (line) => JSON.parse(line) as { frame: number; met: boolean; point: number | null },
  );
  expect(frames).toHaveLength(900);
  expect(frames.filter(({ met }) => !met).length / 9).toBeCloseTo(Number(miss), 9);
  expect(new Set(frames.map(({ point }) => point))).toEqual(new Set([5, null]));
});

test('for people it is a table, and the levels of a file are taken', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'levels.json');
  await writeFile(
    path,
    JSON.stringify([
      { accuracy: 0.7, latencyMs: 2 },
      { accuracy: 0.8, latencyMs: 3, energyJ: 1 },
    ]),
  );
  const table = await simulate('--policy', 'oracle', '--scenario', 'quiet', '--levels', path);
  expect(table).toMatch(/^FIGURE +VALUE +UNIT\nmiss +\d/);
  expect(table).toMatch(/\nregret +0 +points\n/);
});

test('requirements are those of the flags', async () => {
  const tight = await simulateJson(
    '--policy',
    'maxacc',
    '--scenario',
    'quiet',
    '--levels',
    'jetson-gpu',
    '--latency',
    '52ms',
  );
  expect((tight['levels'] as number[])[3]).toBeGreaterThan(0.5);
  const floor = [
    '--policy',
    'alert-tuned',
    '--scenario',
    'quiet',
    '--levels',
    'jetson-gpu',
    '--accuracy-floor',
    '0.74',
  ];
  expect(((await simulateJson(...floor))['levels'] as number[])[0]).toBeGreaterThan(0.9);
});

const WHOLE = { periodMs: 10, deadlineMs: 10, levels: [{ accuracy: 0.5 }], latencyMs: [[5], [6]] };

test.each([
  ['no JSON', '{', /trace\.json: not JSON/],
  ['no levels', { ...WHOLE, levels: [] }, /trace\.json at \/levels/],
  ['a latency that is no number', { ...WHOLE, latencyMs: [[5], ['x']] }, /trace\.json at \/latencyMs\/1\/0/],
  ['a latency of nothing', { ...WHOLE, latencyMs: [[5], [0]] }, /trace\.json at \/latencyMs\/1\/0/],
  [
    'a frame of too many levels',
    { ...WHOLE, latencyMs: [[5], [6, 7]] },
    /frame 1 has 2 latencies, there are 1/,
  ],
  ['arrivals of other frames', { ...WHOLE, arrivalMs: [0] }, /1 arrivals for 2 frames/],
  ['time that goes back', { ...WHOLE, arrivalMs: [5, 4] }, /frame 1 arrives before the one before it/],
])('a trace with %s is refused', async (_, content, message) => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'trace.json');
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  await expect(simulate('--policy', 'ofa', '--trace', path)).rejects.toThrow(message);
});

test.each([
  ['no trace at all', [], /either a file with --trace or a scenario/],
  [
    'a trace and a scenario',
    ['--trace', 'x.json', '--scenario', 'step'],
    /either a file with --trace or a scenario/,
  ],
  [
    'a seed for a recorded trace',
    ['--trace', 'x.json', '--seed', '2'],
    /cannot be used with option '--trace/,
  ],
  ['an unknown scenario', ['--scenario', 'storm'], /Allowed choices are quiet/],
  ['too many frames', ['--scenario', 'step', '--frames', '3000000'], /3000000 is more than 2000000/],
  ['a share of all', ['--scenario', 'step', '--miss-share', '1'], /every frame miss/],
  ['a price that is none', ['--scenario', 'step', '--price', 'much'], /--price: 'much' is not a number/],
  ['a file that is not there', ['--trace', '/nowhere/x.json'], /there is no such file/],
  [
    'a folder to write to that is not there',
    ['--scenario', 'quiet', '--frames', '9', '--frames-out', '/nowhere/x'],
    /\/nowhere\/x: cannot be written/,
  ],
] as const)('%s is refused', async (_, args, message) => {
  await expect(simulate('--policy', 'maxacc', ...args)).rejects.toThrow(message);
});

test('an unknown policy is refused with those that are known', async () => {
  await expect(simulate('--policy', 'best', '--scenario', 'quiet')).rejects.toThrow(
    /no policy 'best', only ofa/,
  );
});
