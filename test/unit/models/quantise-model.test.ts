import { describe, expect, test } from 'vitest';
import { extremeArchitecture } from '../../../models/ofa/architecture.ts';
import { extractSubNetwork } from '../../../models/ofa/extract.ts';
import { type NodeProto, onnx } from '../../../models/ofa/onnx/proto.ts';
import type { Range } from '../../../models/ofa/quantise/affine.ts';
import { int8Model, quantisedTensors } from '../../../models/ofa/quantise/int8-model.ts';
import { KNOWN_SPACES, mobileNetV3Space } from '../../../models/ofa/spaces.ts';
import { sha256 } from '../../../shared/files.ts';
import { randomBackbone } from '../../support/random-backbone.ts';

const space = KNOWN_SPACES.get('fashion-mnist') ?? mobileNetV3Space({ widthMultiplier: 1 });
const network = extractSubNetwork(randomBackbone(space, 1), extremeArchitecture(space, 'smallest'));
const form = { type: 'uint8', frame: [28, 28], batch: 1 } as const;
const names = quantisedTensors(network);
const ranges = new Map<string, Range>(names.map((name, index) => [name, { min: -1 - index / 64, max: 2 }]));

const { graph } = onnx.ModelProto.decode(int8Model(network, form, ranges));
const nodes = graph?.node ?? [];
const producers = new Map(nodes.map((node) => [node.output?.[0] ?? '', node]));

function inputTypes(node: NodeProto): (string | null | undefined)[] {
  return (node.input ?? []).map((name) => producers.get(name)?.opType);
}

function readersOf(name: string): NodeProto[] {
  return nodes.filter((node) => node.input?.includes(name));
}

describe('an int8 graph', () => {
  test('reads and gives 8 bits in every convolution but the stem', () => {
    const convolutions = nodes.filter(({ opType }) => opType === 'Conv');
    const [stem, ...others] = convolutions;
    expect(stem?.name).toBe('first_conv.conv');
    const squeezeExcites = network.blocks.filter(({ squeezeExcite }) => squeezeExcite !== undefined).length;
    expect(others).toHaveLength(3 * network.blocks.length - 1 + 2 * squeezeExcites + 2);
    for (const convolution of others) {
      expect(new Set(inputTypes(convolution))).toEqual(new Set(['DequantizeLinear']));
      expect(readersOf(convolution.name ?? '').map(({ opType }) => opType)).toEqual(['QuantizeLinear']);
    }
  });

  test('reads 8 bits in the classifier', () => {
    const [classifier, ...others] = nodes.filter(({ opType }) => opType === 'Gemm');
    expect(others).toEqual([]);
    expect(classifier && inputTypes(classifier)).toEqual([
      'DequantizeLinear',
      'DequantizeLinear',
      'DequantizeLinear',
    ]);
  });

  test('leaves ReLU and the hard sigmoid to the quantisation, and h_swish between floats', () => {
    const types = nodes.map(({ opType }) => opType);
    expect(types).not.toContain('Relu');
    expect(types).not.toContain('HardSigmoid');
    expect(types.filter((type) => type === 'HardSwish').length).toBeGreaterThan(2);
  });

  test('dequantises every value for each of its readers alone, so that they can be joined', () => {
    for (const { opType, output } of nodes) {
      if (opType === 'DequantizeLinear') expect(readersOf(output?.[0] ?? '')).toHaveLength(1);
    }
  });

  test('needs the range of every value once', () => {
    expect(new Set(names).size).toBe(names.length);
    const quantised = nodes.filter(({ opType }) => opType === 'QuantizeLinear');
    const gates = network.blocks.filter(({ squeezeExcite }) => squeezeExcite !== undefined).length;
    expect(quantised).toHaveLength(names.length + gates);
  });

  test('has the same bytes for the same network and ranges', () => {
    const again = int8Model(network, form, new Map([...ranges].toReversed()));
    expect(sha256(again)).toBe(sha256(int8Model(network, form, ranges)));
    const wider = new Map(ranges).set(names[3] ?? '', { min: -9, max: 9 });
    expect(sha256(int8Model(network, form, wider))).not.toBe(sha256(again));
  });

  test('is refused without a range, by the name of the value', () => {
    for (const name of names) {
      const others = new Map([...ranges].filter(([other]) => other !== name));
      expect(() => int8Model(network, form, others)).toThrow(`int8: there is no range of ${name}`);
    }
  });

  test('is refused with a range that is none', () => {
    const name = 'blocks.1.conv.depth_conv.conv.relu';
    const bad = [
      { min: Number.NaN, max: 1 },
      { min: 0, max: Number.NaN },
      { min: 0, max: Number.POSITIVE_INFINITY },
      { min: 2, max: 1 },
    ];
    for (const range of bad) {
      expect(() => int8Model(network, form, new Map(ranges).set(name, range))).toThrow(
        `int8: expected a range of ${name} from low to high, found ${range.min} to ${range.max}`,
      );
    }
  });
});
