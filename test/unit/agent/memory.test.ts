import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { deviceMemory, isMemoryShort, processMemory } from '../../../agent/engine/memory.ts';
import { temporaryFolder } from '../../support/temp.ts';

test('the memory of a process is its proportional set size', async () => {
  await using proc = await temporaryFolder();
  await mkdir(join(proc.path, 'self'));
  const text =
    '5500-7ffd ---p 00000000 00:00 0 [rollup]\nRss:   9000 kB\nPss:   5120 kB\nPss_Anon:   4000 kB\n';
  await writeFile(join(proc.path, 'self', 'smaps_rollup'), text);
  expect(await processMemory(proc.path)).toBe(5 * 1024 * 1024);
});

test('a kernel without the sum has the mappings', async () => {
  await using proc = await temporaryFolder();
  await mkdir(join(proc.path, 'self'));
  await writeFile(
    join(proc.path, 'self', 'smaps'),
    'Pss:   1 kB\nSwapPss:   7 kB\nRss:   9 kB\nPss:   2 kB\n',
  );
  expect(await processMemory(proc.path)).toBe(3 * 1024);
});

test('without proc the resident set stands for it', async () => {
  await using proc = await temporaryFolder();
  expect(await processMemory(proc.path)).toBeGreaterThan(1024 * 1024);
  expect(await deviceMemory(proc.path)).toBeUndefined();
});

test('memory is short below a tenth of the whole', async () => {
  await using proc = await temporaryFolder();
  const text = 'MemTotal:     4000000 kB\nMemFree:        1000 kB\nMemAvailable:   399999 kB\n';
  await writeFile(join(proc.path, 'meminfo'), text);
  const memory = await deviceMemory(proc.path);
  expect(memory).toEqual({ totalBytes: 4_096_000_000, availableBytes: 409_598_976 });
  expect(memory !== undefined && isMemoryShort(memory)).toBe(true);
  expect(isMemoryShort({ totalBytes: 100, availableBytes: 10 })).toBe(false);
});
