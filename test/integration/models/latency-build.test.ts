import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openJournal } from '../../../models/journal.ts';
import { type BuildOptions, buildTable } from '../../../models/latency/build.ts';
import { checkTable } from '../../../models/latency/check.ts';
import { sampleArchitectures } from '../../../models/latency/sample.ts';
import { latencyMs, latencyTableFile, parseLatencyTable } from '../../../models/latency/table.ts';
import type { SearchSpace } from '../../../models/ofa/space.ts';
import { KNOWN_SPACES } from '../../../models/ofa/spaces.ts';
import { type Clock, systemClock } from '../../../shared/clock.ts';
import { randomBackbone } from '../../support/random-backbone.ts';
import { temporaryFolder } from '../../support/temp.ts';

/** The bundled space with fewer stages and choices: 12 layers at a resolution. */
function smallSpace(): SearchSpace {
  const space = KNOWN_SPACES.get('fashion-mnist');
  if (space === undefined) throw new Error('no such space');
  return {
    ...space,
    stages: space.stages.slice(0, 2),
    kernelSizes: [3, 5],
    expandRatios: [2],
    depths: [1, 2],
    resolutions: [16, 24],
    frame: [16, 16],
  };
}

const space = smallSpace();
const common = {
  space,
  processingElement: 'cpu',
  threads: 1,
  form: { type: 'uint8', frame: space.frame, batch: 1 },
  precision: 'fp32',
  rounds: 2,
  seed: 1,
  clock: systemClock,
} as const;
const options: BuildOptions = { ...common, resolutions: [16, 24], device: 'test machine' };

test('a measured table predicts every network of its space, and is a table when it is read back', async () => {
  const table = await buildTable(options);
  const read = parseLatencyTable(JSON.stringify(latencyTableFile(table)), 'the table');
  expect(read).toEqual(table);
  expect(read.device).toBe('test machine');
  expect(read.source).toMatch(
    /cpu, threads 1, fp32, image uint8 16x16; mean of the fastest tenth of 6 runs$/,
  );
  for (const architecture of sampleArchitectures(space, { resolutions: [16, 24], count: 40, seed: 1 })) {
    expect(latencyMs(read, space, architecture)).toBeGreaterThan(0);
  }
});

test('networks in 8 bits are measured as well, layers and whole', async () => {
  const int8 = { ...options, precision: 'int8', rounds: 1 } as const;
  const table = await buildTable(int8);
  const architectures = sampleArchitectures(space, { resolutions: [16, 24], count: 4, seed: 1 });
  const { networks } = await checkTable({ ...common, precision: 'int8', rounds: 1, table, architectures });
  expect(networks.every(({ predictedMs }) => predictedMs > 0)).toBe(true);
});

test('layers of normalised floats are measured as well', async () => {
  const table = await buildTable({ ...options, resolutions: [16], form: { type: 'float32' }, rounds: 1 });
  expect([...(table.resolutions.get(16)?.values() ?? [])].every(({ mean }) => mean >= 0)).toBe(true);
});

test('progress ends with everything done', async () => {
  const seen: [number, number][] = [];
  await buildTable({ ...options, onProgress: (done, total) => seen.push([done, total]) });
  const total = seen[0]?.[1] ?? 0;
  expect(seen.at(-1)).toEqual([total, total]);
  expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).toSorted((a, b) => a - b));
});

/** Counts how often it is asked, and does something at one of these times. */
function countingClock(act: (asked: number) => void): Clock & { readonly asked: () => number } {
  let asked = 0;
  return {
    ...systemClock,
    asked: () => asked,
    monoMs: () => {
      asked += 1;
      act(asked);
      return performance.now();
    },
  };
}

test('an abort stops the measurement within one run', async () => {
  const controller = new AbortController();
  const clock = countingClock((asked) => {
    if (asked === 10) controller.abort(new Error('stop now'));
  });
  await expect(buildTable({ ...options, clock, signal: controller.signal })).rejects.toThrow('stop now');
  expect(clock.asked()).toBeLessThanOrEqual(11);
});

test('what a journal has is not measured again', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'journal.jsonl');
  const controller = new AbortController();
  {
    await using journal = await openJournal(path);
    const stopped = buildTable({
      ...options,
      journal,
      signal: controller.signal,
      onProgress: (_done, _total, text) => {
        if (text === 'resolution 24') controller.abort(new Error('stop now'));
      },
    });
    await expect(stopped).rejects.toThrow('stop now');
    expect(journal.size).toBe(1);
  }
  await using journal = await openJournal(path);
  const texts = new Map<string, number>();
  const table = await buildTable({
    ...options,
    journal,
    onProgress: (_done, _total, text) => texts.set(text, (texts.get(text) ?? 0) + 1),
  });
  expect(texts.get('resolution 16')).toBe(1);
  expect(texts.get('resolution 24')).toBeGreaterThan(1);
  const idle = countingClock(() => undefined);
  expect(await buildTable({ ...options, journal, clock: idle })).toEqual(table);
  expect(idle.asked()).toBe(0);
  await buildTable({ ...options, journal, clock: idle, seed: 2 });
  expect(idle.asked()).toBeGreaterThan(0);
});

test('a processing element that is not there is refused with the reason', async () => {
  await expect(buildTable({ ...options, processingElement: 'gpu' })).rejects.toMatchObject({
    code: 'system',
    message: expect.stringMatching(/^processing element gpu: cannot be measured: .+/),
  });
});

test('whole networks are measured against the table, with random weights and with a backbone', async () => {
  const table = await buildTable(options);
  const architectures = sampleArchitectures(space, { resolutions: [16, 24], count: 9, seed: 2 });
  const seen: number[] = [];
  const onProgress = (done: number, total: number): number => seen.push(done / total);
  for (const backbone of [undefined, randomBackbone(space, 1)]) {
    const check = await checkTable({
      ...common,
      table,
      architectures,
      rounds: 4,
      onProgress,
      ...(backbone === undefined ? {} : { backbone }),
    });
    expect(check.networks.map(({ architecture }) => architecture)).toEqual(architectures);
    for (const { predictedMs, measuredMs, medianMs } of check.networks) {
      expect(predictedMs).toBeGreaterThan(0);
      expect(measuredMs).toBeGreaterThan(0);
      expect(medianMs).toBeGreaterThanOrEqual(measuredMs);
    }
    expect(seen.at(-1)).toBe(1);
  }
});

test('too few networks are refused before any is measured', async () => {
  const table = await buildTable({ ...options, rounds: 1 });
  const architectures = sampleArchitectures(space, { resolutions: [16], count: 3, seed: 2 });
  const clock = countingClock(() => undefined);
  await expect(checkTable({ ...common, clock, table, architectures })).rejects.toThrow(
    'latency check: 3 networks, at least 4 are needed',
  );
  expect(clock.asked()).toBe(0);
});
