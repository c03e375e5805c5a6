import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { compileLatency } from '../../../models/latency/compiled.ts';
import {
  latencyMs,
  latencyTableFile,
  latencyTableParser,
  layerKeys,
  parseLatencyTable,
} from '../../../models/latency/table.ts';
import { architectureParser } from '../../../models/ofa/architecture.ts';
import { landscapeOf, latencyOf } from '../../../models/search/genome.ts';
import { parseJson } from '../../../shared/schema.ts';
import { publishedSpace } from '../../bench/models-search.ts';
import { referencePath, testWithReference } from '../../support/reference.ts';
import { smallSpace, smallTable } from '../../support/search-space.ts';

const table = smallTable();
const architecture = { ks: [3, 5, 3, 3], e: [3, 6, 3, 6], d: [2, 1], r: 28 };

describe('a latency table', () => {
  for (const device of ['jetson', 'jetson_GPU']) {
    testWithReference(
      `dynamic-ofa/latency_pairs_${device}.json`,
      `foretells what the published code does, by the table of ${device}`,
      async () => {
        const read = async (name: string): Promise<string> =>
          await readFile(referencePath('dynamic-ofa', name), 'utf8');
        const published = parseLatencyTable(await read(`latency_${device}.json`), device);
        const { archs } = JSON.parse(await read(`latency_pairs_${device}.json`)) as {
          archs: { arch: unknown; ms: number }[];
        };
        const space = publishedSpace();
        const landscape = landscapeOf(space, { fp32: published });
        expect(archs.length).toBeGreaterThan(0);
        for (const { arch, ms } of archs) {
          const parsed = architectureParser()(arch, 'pair');
          expect(Math.abs(latencyMs(published, space, parsed) / ms - 1)).toBeLessThan(1e-9);
          const choices = parsed.ks.map((kernel, block) =>
            landscape.choices.findIndex((one) => one.kernel === kernel && one.ratio === parsed.e[block]),
          );
          const setting = landscape.settings.findIndex(({ r }) => r === parsed.r);
          const genome = Uint16Array.from([setting, ...parsed.d, ...choices]);
          expect(Math.abs(latencyOf(landscape, genome) / ms - 1)).toBeLessThan(1e-9);
        }
      },
    );
  }

  test('names the layers of a network with one channel and a stem of stride 1', () => {
    expect(layerKeys(smallSpace(), architecture)).toEqual([
      'Conv-input:28x28x1-output:28x28x16',
      'expanded_conv-input:28x28x16-output:14x14x16-expand:16-kernel:3-stride:2-idskip:0-se:0-hs:0',
      'expanded_conv-input:14x14x16-output:7x7x24-expand:48-kernel:3-stride:2-idskip:0-se:0-hs:0',
      'expanded_conv-input:7x7x24-output:7x7x24-expand:144-kernel:5-stride:1-idskip:1-se:0-hs:0',
      'expanded_conv-input:7x7x24-output:7x7x32-expand:72-kernel:3-stride:1-idskip:0-se:1-hs:1',
      'Conv_1-input:7x7x32-output:7x7x96',
      'AvgPool2D-input:7x7x96-output:1x1x96',
      'Conv_2-input:1x1x96-output:1x1x128',
      'Logits-input:1x1x128-output:10',
    ]);
  });

  test('applies its correction for whole networks only where that is asked for', () => {
    const sum = latencyMs(table, smallSpace(), architecture);
    const corrected = { ...table, correction: { offsetMs: 2, scale: 1.5 } };
    expect(latencyMs(corrected, smallSpace(), architecture)).toBe(sum);
    expect(latencyMs(corrected, smallSpace(), architecture, { correct: true })).toBeCloseTo(2 + 1.5 * sum, 9);
  });

  test('is read back as it was written', () => {
    expect(parseLatencyTable(JSON.stringify(latencyTableFile(table)), 'table')).toEqual(table);
  });

  test('names the resolution and the layer that it does not have', () => {
    const space = smallSpace();
    expect(() => latencyMs(table, { ...space, resolutions: [32] }, { ...architecture, r: 32 })).toThrow(
      'latency table of test: has no resolution 32, only 20, 28',
    );
    const lacking = new Map(table.resolutions.get(28));
    const key = layerKeys(space, architecture)[3] ?? '';
    lacking.delete(key);
    const holed = { ...table, resolutions: new Map([...table.resolutions, [28, lacking]]) };
    const choices = { ks: space.kernelSizes, e: space.expandRatios, d: space.depths, r: space.resolutions };
    const message = `latency table of test: is of another search space: it has no layer ${key} at resolution 28`;
    expect(() => latencyMs(holed, space, architecture)).toThrow(message);
    expect(() => compileLatency(holed, space, choices)).toThrow(message);
  });

  test.each([
    ['another unit', { ...latencyTableFile(table), unit: 's' }, 'at /unit'],
    ['no resolution', { ...latencyTableFile(table), resolutions: {} }, 'at /resolutions'],
    [
      'a resolution that is no number',
      { ...latencyTableFile(table), resolutions: { big: {} } },
      '/resolutions',
    ],
    ['a time that is no number', withMean(Number.NaN), '/mean'],
    ['a time below 0', withMean(-1), '/mean'],
    [
      'a scale of 0',
      { ...latencyTableFile(table), correction: { offsetMs: 0, scale: 0 } },
      '/correction/scale',
    ],
  ])('refuses %s', (_, file, place) => {
    expect(() => latencyTableParser()(file, 'table.json')).toThrow(place);
  });

  test('refuses text that is not JSON', () => {
    expect(() => parseLatencyTable('{', 'table.json')).toThrow('table.json: not JSON');
    expect(() => parseJson('[]', latencyTableParser(), 'table.json')).toThrow('table.json');
  });
});

function withMean(mean: number): unknown {
  return { device: 'x', unit: 'ms', resolutions: { '28': { 'Conv-input': { mean } } } };
}
