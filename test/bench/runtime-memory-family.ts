import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LeanModel } from '../../agent/engine/lean.ts';
import type { PointSpec, TensorSpec } from '../../agent/engine/protocol.ts';
import type { Architecture } from '../../models/ofa/architecture.ts';
import { extractSubNetwork } from '../../models/ofa/extract.ts';
import { floatModel } from '../../models/ofa/graph/float-model.ts';
import { batchNorms, type SubNetwork, withStatistics } from '../../models/ofa/network.ts';
import { GraphBuilder } from '../../models/ofa/onnx/graph.ts';
import { onnx } from '../../models/ofa/onnx/proto.ts';
import { blocksPerStage, type SearchSpace } from '../../models/ofa/space.ts';
import { mobileNetV3Space } from '../../models/ofa/spaces.ts';
import { sha256 } from '../../shared/files.ts';
import { randomBackbone } from '../support/random-backbone.ts';

const FRAME = [224, 224] as const;
const SEED = 11;

/** The smallest, a middle and the largest sub-network, at several resolutions. */
const LEVELS = [
  { kernel: 3, expand: 3, depth: 2, resolution: 128 },
  { kernel: 3, expand: 3, depth: 2, resolution: 176 },
  { kernel: 5, expand: 4, depth: 3, resolution: 128 },
  { kernel: 5, expand: 4, depth: 3, resolution: 176 },
  { kernel: 5, expand: 4, depth: 3, resolution: 224 },
  { kernel: 7, expand: 6, depth: 4, resolution: 176 },
  { kernel: 7, expand: 6, depth: 4, resolution: 224 },
] as const;

export const LARGE_INPUT: TensorSpec = { name: 'image', shape: [1, ...FRAME, 3] };
export const LARGE_OUTPUT: TensorSpec = { name: 'logits', shape: [1, 1_000] };

/** A family on disk that is removed with its folder. */
export interface LargeFamily extends AsyncDisposable {
  readonly folder: string;
  readonly models: readonly LeanModel[];
  /** One that takes and gives the same and has hardly any weights: it loads ONNX Runtime and nothing else. */
  readonly tiny: LeanModel;
  /** Sum of the portable files. */
  readonly bytes: number;
}

/**
 * Seven levels of MIT's network of width 1.0 with random weights, in a temporary folder.
 * @param statistics whether the levels have the batch statistics of one network in common, or each its own,
 * as after a calibration: then little more than the last two layers is common to two networks
 */
export async function largeFamily(statistics: 'common' | 'own'): Promise<LargeFamily> {
  const space = mobileNetV3Space({ widthMultiplier: 1 });
  const backbone = randomBackbone(space, SEED);
  const folder = await mkdtemp(join(tmpdir(), 'ofa-bench-'));
  const models: LeanModel[] = [];
  let bytes = 0;
  for (const [index, level] of LEVELS.entries()) {
    const network = extractSubNetwork(backbone, architectureOf(space, level));
    const file = floatModel(statistics === 'own' ? recalibrated(network, index) : network, {
      type: 'uint8',
      frame: FRAME,
      batch: 1,
    });
    models.push(await written(join(folder, `${index}.onnx`), file));
    bytes += file.length;
  }
  const tiny = await written(join(folder, 'tiny.onnx'), tinyModel());
  return {
    folder,
    models,
    tiny,
    bytes,
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true }),
  };
}

async function written(modelPath: string, file: Uint8Array): Promise<LeanModel> {
  await writeFile(modelPath, file);
  return { modelPath, sha256: sha256(file) };
}

/** The mean of each channel through a linear layer. */
function tinyModel(): Uint8Array {
  const [, classes = 1] = LARGE_OUTPUT.shape;
  const graph = new GraphBuilder('tiny');
  const image = graph.input(LARGE_INPUT.name, 'uint8', LARGE_INPUT.shape);
  const floats = graph.node('Cast', [image], 'floats', { to: { int: onnx.TensorProto.DataType.FLOAT } });
  const planes = graph.node('Transpose', [floats], 'planes', { perm: { ints: [0, 3, 1, 2] } });
  const means = graph.node('GlobalAveragePool', [planes], 'means');
  const flat = graph.node('Flatten', [means], 'flat');
  const weights = graph.constant('weights', [3, classes], new Float32Array(3 * classes).fill(0.5));
  graph.node('MatMul', [flat, weights], LARGE_OUTPUT.name);
  graph.output(LARGE_OUTPUT.name, 'float32', LARGE_OUTPUT.shape);
  return graph.encode();
}

/** Every level on the CPU with one thread, in its lean form where `leanPaths` has one. */
export function largePoints(
  models: readonly LeanModel[],
  leanPaths: ReadonlyMap<string, string> = new Map(),
): PointSpec[] {
  return models.map(({ modelPath }, level) => {
    const leanPath = leanPaths.get(modelPath);
    const point: PointSpec = { pe: 'cpu', level, modelPath, threads: 1, providers: ['cpu'] };
    return leanPath === undefined ? point : { ...point, leanPath };
  });
}

/** The same noise every time. */
export function largeFrame(): Uint8Array {
  return Uint8Array.from({ length: 3 * FRAME[0] * FRAME[1] }, (_, index) => Math.imul(index, 7_919) >>> 5);
}

function architectureOf(
  space: SearchSpace,
  { kernel, expand, depth, resolution }: (typeof LEVELS)[number],
): Architecture {
  const blocks = Array.from({ length: space.stages.length * blocksPerStage(space) });
  return {
    ks: blocks.map(() => kernel),
    e: blocks.map(() => expand),
    d: space.stages.map(() => depth),
    r: resolution,
  };
}

/** Batch statistics a little different in every channel and level. */
function recalibrated(network: SubNetwork, level: number): SubNetwork {
  const statistics = batchNorms(network).map(({ name, mean, variance }) => {
    const nudged = (value: number, channel: number): number =>
      value * (1 + 0.001 * (level + 1) * ((channel % 7) + 1));
    return [name, { mean: mean.map(nudged), variance: variance.map(nudged) }] as const;
  });
  return withStatistics(network, new Map(statistics));
}
