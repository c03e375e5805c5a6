import { describe, expect } from 'vitest';
import { calibrate } from '../../../models/calibrate/calibrate.ts';
import { costOf } from '../../../models/ofa/cost.ts';
import { extractSubNetwork } from '../../../models/ofa/extract.ts';
import { floatModel } from '../../../models/ofa/graph/float-model.ts';
import { withStatistics } from '../../../models/ofa/network.ts';
import { mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { formulaInput } from '../../support/ofa-input.ts';
import { type ReferenceArchitecture, referenceBackbone, referenceJson } from '../../support/ofa-reference.ts';
import { testWithReference } from '../../support/reference.ts';
import { greatestDifference, runModel } from '../../support/run-model.ts';

const LOGITS_TOLERANCE = 1e-5;
const CALIBRATED_LOGITS_TOLERANCE = 5e-5;
const STATISTICS_TOLERANCE = 1e-4;

async function architectures(): Promise<ReferenceArchitecture[]> {
  const { archs } = await referenceJson<{ archs: ReferenceArchitecture[] }>('ofa', 'public.json');
  return archs;
}

describe('against the real OFA code', () => {
  testWithReference('ofa/public.json', 'every sub-network gives its logits', async () => {
    const backbone = await referenceBackbone('ofa', 'supernet_w0.35.legacy.pth');
    const differences: Record<string, number> = {};
    for (const { name, arch, input, logits } of await architectures()) {
      const model = floatModel(extractSubNetwork(backbone, arch), { type: 'float32' });
      const actual = await runModel(model, formulaInput(input.shape, input.phase), input.shape);
      differences[name] = greatestDifference(actual, logits);
    }
    expect(Object.keys(differences)).toHaveLength(10);
    for (const difference of Object.values(differences)) expect(difference).toBeLessThan(LOGITS_TOLERANCE);
  });

  testWithReference('ofa/public.json', 'calibration gives its statistics, and its logits', async () => {
    const backbone = await referenceBackbone('ofa', 'supernet_w0.35.safetensors');
    const calibrated = (await architectures()).filter(({ calibration }) => calibration !== undefined);
    expect(calibrated.map(({ name }) => name)).toEqual(['min', 'random-0']);
    for (const { arch, input, calibration } of calibrated) {
      const network = extractSubNetwork(backbone, arch);
      const batches = (calibration?.batches ?? []).map(({ shape, phase }) => ({
        count: shape[0] ?? 0,
        data: formulaInput(shape, phase),
      }));
      const statistics = await calibrate(network, batches, { frame: [arch.r, arch.r] });
      const expected = Object.entries(calibration?.bn ?? {});
      expect([...statistics.keys()]).toEqual(expected.map(([name]) => name));
      for (const [name, { mean, var: variance }] of expected) {
        const found = statistics.get(name);
        const meanErrors = mean.map(
          (value, index) => ((found?.mean[index] ?? 0) - value) / Math.sqrt(variance[index] ?? 0),
        );
        const varianceErrors = variance.map((value, index) => (found?.variance[index] ?? 0) / value - 1);
        expect(Math.max(...meanErrors.map(Math.abs))).toBeLessThan(STATISTICS_TOLERANCE);
        expect(Math.max(...varianceErrors.map(Math.abs))).toBeLessThan(STATISTICS_TOLERANCE);
      }
      const model = floatModel(withStatistics(network, statistics), { type: 'float32' });
      const actual = await runModel(model, formulaInput(input.shape, input.phase), input.shape);
      expect(greatestDifference(actual, calibration?.logits ?? [])).toBeLessThan(CALIBRATED_LOGITS_TOLERANCE);
    }
  });

  testWithReference('ofa/public.json', 'the extracted weights have its checksums', async () => {
    const backbone = await referenceBackbone('ofa', 'supernet_w0.35.pth');
    for (const { arch, subnet_tensors: tensors } of await architectures()) {
      if (tensors === undefined) continue;
      const { blocks, stem } = extractSubNetwork(backbone, arch);
      const layers = [
        stem,
        ...blocks.flatMap(({ expand, depthwise, project }) => [expand, depthwise, project]),
      ];
      for (const layer of layers) {
        if (layer === undefined) continue;
        const { name, weight } = layer.convolution;
        const expected = tensors[`${name}.weight`];
        expect([name, weight.shape]).toEqual([name, expected?.shape]);
        expect(weight.data.reduce((sum, value) => sum + value, 0)).toBeCloseTo(expected?.sum ?? 0, 4);
      }
    }
  });

  testWithReference('ofa/layout.json', 'parameters and operations are counted alike', async () => {
    const widths = { '1.00': 1, '1.20': 1.2, '0.35': 0.35 };
    const layout = await referenceJson<
      Record<string, { archs: (ReferenceArchitecture & { arch?: object })[] }>
    >('ofa', 'layout.json');
    const known = new Map((await architectures()).map(({ name, arch }) => [name, arch]));
    let compared = 0;
    for (const [key, widthMultiplier] of Object.entries(widths)) {
      const space = mobileNetV3Space({ widthMultiplier });
      for (const { name, params, mflops } of layout[key]?.archs ?? []) {
        const arch = known.get(name);
        if (arch === undefined) continue;
        const cost = costOf(space, arch);
        expect([name, cost.parameters, cost.macs / 1e6]).toEqual([name, params, mflops]);
        compared += 1;
      }
    }
    expect(compared).toBe(30);
  });
});
