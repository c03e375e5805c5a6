import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  clearSuspects,
  type FlightKind,
  type InFlightMarker,
  kernelBootId,
  openMarker,
  readSuspects,
} from '../../../agent/quarantine/marker.ts';
import { temporaryFolder } from '../../support/temp.ts';

const LEGEND = {
  kernelBoot: kernelBootId(),
  runtime: '1.30.0',
  input: { name: 'image', shape: [1, 4] },
  output: { name: 'logits', shape: [1, 2] },
  points: [0, 1, 2].map((level) => ({
    pe: 'cpu' as const,
    level,
    modelPath: `/models/${level}.onnx`,
    threads: 1,
    providers: ['cpu'],
    sha256: `${level}`.repeat(64),
  })),
};

function open(folder: string): InFlightMarker {
  return openMarker(folder, LEGEND, (error) => {
    throw error;
  });
}

/** Begins something that ends when it is told to. */
function begin(marker: InFlightMarker, point: number, kind: FlightKind = 'run') {
  const act = Promise.withResolvers<void>();
  const done = marker.during(point, kind, () => act.promise);
  return async () => {
    act.resolve();
    await done;
  };
}

const suspectIn = (folder: string) => readSuspects(folder)[0];
const levelIn = (folder: string): number | undefined => suspectIn(folder)?.point.level;

describe('the in-flight marker', () => {
  test('names the point while it is in flight, and nobody before and after', async () => {
    await using folder = await temporaryFolder();
    expect(suspectIn(folder.path)).toBeUndefined();
    using marker = open(folder.path);
    expect(suspectIn(folder.path)).toBeUndefined();
    const end = begin(marker, 2);
    expect(suspectIn(folder.path)).toEqual({
      point: LEGEND.points[2],
      death: 'crashed',
      runtime: '1.30.0',
      input: LEGEND.input,
      output: LEGEND.output,
      machineRestarted: false,
      isOnlyEngine: true,
    });
    await end();
    expect(suspectIn(folder.path)).toBeUndefined();
  });

  test('of each engine is one of its own, and gone with the engine', async () => {
    await using folder = await temporaryFolder();
    const serving = open(folder.path);
    const beside = open(folder.path);
    const endRun = begin(serving, 0);
    const endLoad = begin(beside, 2, 'chore');
    const levels = () =>
      readSuspects(folder.path).map(({ point, isOnlyEngine }) => [point.level, isOnlyEngine]);
    expect(levels().sort()).toEqual([
      [0, false],
      [2, false],
    ]);
    await endLoad();
    beside[Symbol.dispose]();
    expect(levels()).toEqual([[0, true]]);
    using third = open(folder.path);
    const endThird = begin(third, 1);
    expect(levels()).toHaveLength(2);
    await endRun();
    await endThird();
    serving[Symbol.dispose]();
    expect(await readdir(folder.path)).toEqual(['in-flight-2']);
    clearSuspects(folder.path);
    expect(await readdir(folder.path)).toEqual([]);
  });

  test('is cleared when what was in flight fails', async () => {
    await using folder = await temporaryFolder();
    using marker = open(folder.path);
    await expect(marker.during(1, 'run', () => Promise.reject(new Error('bad node')))).rejects.toThrow(
      'bad node',
    );
    expect(suspectIn(folder.path)).toBeUndefined();
  });

  test('names the first of several runs, and a chore only when no run is left', async () => {
    await using folder = await temporaryFolder();
    using marker = open(folder.path);
    const first = begin(marker, 0);
    const chore = begin(marker, 1, 'chore');
    const second = begin(marker, 2);
    expect(levelIn(folder.path)).toBe(0);
    await first();
    expect(levelIn(folder.path)).toBe(2);
    await second();
    expect(levelIn(folder.path)).toBe(1);
    const third = begin(marker, 0);
    expect(levelIn(folder.path)).toBe(1);
    await chore();
    expect(levelIn(folder.path)).toBe(0);
    await third();
    expect(levelIn(folder.path)).toBeUndefined();
  });

  test('stays as it was when the process is about to end, and says that it hung', async () => {
    await using folder = await temporaryFolder();
    const marker = open(folder.path);
    const first = begin(marker, 1);
    const second = begin(marker, 2);
    expect(marker.freeze('hung')).toBe(1);
    await first();
    await second();
    marker[Symbol.dispose]();
    expect(suspectIn(folder.path)).toMatchObject({ death: 'hung', point: { level: 1 } });
    clearSuspects(folder.path);
    expect(suspectIn(folder.path)).toBeUndefined();
  });

  test('names nobody when the process ends with nothing in flight', async () => {
    await using folder = await temporaryFolder();
    using marker = open(folder.path);
    expect(marker.freeze('hung')).toBeUndefined();
    expect(suspectIn(folder.path)).toBeUndefined();
  });

  test('whatever begins and ends, it names somebody in flight, and nobody when all have ended', async () => {
    await using folder = await temporaryFolder();
    using marker = open(folder.path);
    const flying: { readonly point: number; readonly end: () => Promise<void> }[] = [];
    const namesOneOf = (): boolean => {
      const named = levelIn(folder.path);
      return flying.length === 0 ? named === undefined : flying.some(({ point }) => point === named);
    };
    const take = async ({ point, kind, ends }: { point: number; kind: FlightKind; ends: number }) => {
      flying.push({ point, end: begin(marker, point, kind) });
      for (const { end } of flying.splice(ends, 1)) await end();
      expect(namesOneOf()).toBe(true);
    };
    const kind = fc.constantFrom<FlightKind>('run', 'chore');
    const step = fc.record({ point: fc.nat(2), kind, ends: fc.nat(5) });
    const property = fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      for (const each of steps) await take(each);
      for (const { end } of flying.splice(0)) await end();
      expect(levelIn(folder.path)).toBeUndefined();
    });
    await fc.assert(property, { numRuns: 30 });
  });

  test('that is damaged, of another schema or no file at all names nobody', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'in-flight');
    const marker = open(folder.path);
    void begin(marker, 1);
    const whole = await readFile(path);
    const damages = [
      whole.subarray(0, 7),
      whole.subarray(0, 8),
      whole.subarray(0, 100),
      Buffer.alloc(2_000_000),
    ];
    const stranger = Buffer.from(whole);
    stranger.writeUInt32LE(77, 0);
    for (const bytes of [...damages, stranger, Buffer.concat([whole.subarray(0, 8), Buffer.from('{}')])]) {
      await writeFile(path, bytes);
      expect(suspectIn(folder.path)).toBeUndefined();
    }
    await writeFile(path, whole);
    expect(levelIn(folder.path)).toBe(1);
  });

  test('that cannot be written is told once, and inference goes on', async () => {
    await using folder = await temporaryFolder();
    const lost: unknown[] = [];
    using marker = openMarker(join(folder.path, 'nowhere'), LEGEND, (error) => lost.push(error));
    expect(await marker.during(0, 'run', async () => 42)).toBe(42);
    expect(marker.freeze('hung')).toBeUndefined();
    expect(lost).toHaveLength(1);
    expect(suspectIn(folder.path)).toBeUndefined();
  });
});
