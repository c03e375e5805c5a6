import { expect, test } from 'vitest';
import { type ConfiguredElements, configuredElements } from '../../../agent/profile/contender.ts';

const CONFIG: ConfiguredElements = {
  elements: ['cpu', 'gpu'],
  threads: null,
  cpuThreads: null,
  gpuProviders: ['cuda'],
};

test.each([
  ['one thread and all cores where nothing is said', {}, 6, [1, 6], [1]],
  ['one where there is one core', {}, 1, [1], [1]],
  ['the number that is stated, on both elements', { threads: 4 }, 6, [4], [4]],
  ['the numbers that are listed, on the CPU', { cpuThreads: [1, 2, 3] }, 6, [1, 2, 3], [1]],
  ['the listed before the stated', { threads: 4, cpuThreads: [1, 2] }, 6, [1, 2], [4]],
])('threads to choose from are %s', (_, change, cores, cpu, gpu) => {
  expect(configuredElements({ ...CONFIG, ...change }, cores)).toEqual([
    { pe: 'cpu', providers: ['cpu'], threads: cpu },
    { pe: 'gpu', providers: ['cuda'], threads: gpu },
  ]);
});
