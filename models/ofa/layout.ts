import { type BlockShape, blockShapes, squeezeChannels } from './architecture.ts';
import { blocksPerStage, type SearchSpace } from './space.ts';
import { sizeOf } from './tensors.ts';

/** What a stored tensor is for; `scale` and `bias` are learned, the running ones and the count are measured. */
export type TensorRole =
  | 'weight'
  | 'kernel-matrix'
  | 'scale'
  | 'bias'
  | 'running-mean'
  | 'running-variance'
  | 'batch-count';

/** A tensor that a super-network of some space has. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: TensorRole;
}

/**
 * Every tensor of a super-network, under the names that OFA's code has now (`blocks.N.conv.`), in the order
 * of its `state_dict`. Shapes are PyTorch's: [out, in, height, width] of a convolution (depthwise:
 * [channels, 1, k, k]), [out, in] of the classifier, [k*k, k*k] of the matrix that makes the k x k kernel.
 * @param batchCounts whether batch norm's `num_batches_tracked` (a single int64) are listed; default no
 */
export function expectedTensors(
  space: SearchSpace,
  { batchCounts = false }: { readonly batchCounts?: boolean } = {},
): ExpectedTensor[] {
  const { inChannels, stem, finalExpandWidth, featureMixWidth, classes } = space;
  const blocks = storedBlocks(space);
  const lastWidth = blocks.at(-1)?.outChannels ?? space.firstBlock.width;
  const all = [
    weight('first_conv.conv.weight', [stem.width, inChannels, 3, 3]),
    ...batchNorm('first_conv.bn', stem.width),
    ...blocks.flatMap((block) => (block.slot === 0 ? fixedBlock(block) : elasticBlock(space, block))),
    weight('final_expand_layer.conv.weight', [finalExpandWidth, lastWidth, 1, 1]),
    ...batchNorm('final_expand_layer.bn', finalExpandWidth),
    weight('feature_mix_layer.conv.weight', [featureMixWidth, finalExpandWidth, 1, 1]),
    weight('classifier.linear.weight', [classes, featureMixWidth]),
    bias('classifier.linear.bias', classes),
  ];
  return batchCounts ? all : all.filter(({ role }) => role !== 'batch-count');
}

/** Learned numbers of a super-network, kernel matrices counted, running statistics not. */
export function supernetParameters(space: SearchSpace): number {
  return expectedTensors(space)
    .filter(({ role }) => role !== 'running-mean' && role !== 'running-variance')
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Name of the matrix that makes the `smaller` kernel of a block of the next larger one. */
export function kernelMatrixName(slot: number, larger: number, smaller: number): string {
  return `blocks.${slot}.conv.depth_conv.conv.${larger}to${smaller}_matrix`;
}

/** What is stored is what the largest architecture runs. */
function storedBlocks(space: SearchSpace): BlockShape[] {
  const depth = blocksPerStage(space);
  const slots = Array.from({ length: space.stages.length * depth });
  const kernel = Math.max(...space.kernelSizes);
  const ratio = Math.max(...space.expandRatios);
  return blockShapes(space, {
    ks: slots.map(() => kernel),
    e: slots.map(() => ratio),
    d: space.stages.map(() => depth),
    r: Math.max(...space.resolutions),
  });
}

function fixedBlock({ inChannels, midChannels, outChannels, kernel }: BlockShape): ExpectedTensor[] {
  const prefix = 'blocks.0.conv';
  return [
    weight(`${prefix}.depth_conv.conv.weight`, [midChannels, 1, kernel, kernel]),
    ...batchNorm(`${prefix}.depth_conv.bn`, midChannels),
    weight(`${prefix}.point_linear.conv.weight`, [outChannels, inChannels, 1, 1]),
    ...batchNorm(`${prefix}.point_linear.bn`, outChannels),
  ];
}

/** The layers of a block whose size is chosen: OFA wraps each once more than those of the fixed one. */
function elasticBlock(space: SearchSpace, block: BlockShape): ExpectedTensor[] {
  const { slot, inChannels, midChannels, outChannels, kernel } = block;
  const prefix = `blocks.${slot}.conv`;
  return [
    weight(`${prefix}.inverted_bottleneck.conv.conv.weight`, [midChannels, inChannels, 1, 1]),
    ...batchNorm(`${prefix}.inverted_bottleneck.bn.bn`, midChannels),
    ...kernelMatrices(space, slot),
    weight(`${prefix}.depth_conv.conv.conv.weight`, [midChannels, 1, kernel, kernel]),
    ...batchNorm(`${prefix}.depth_conv.bn.bn`, midChannels),
    ...(block.squeezeExcite ? squeezeExcite(`${prefix}.depth_conv.se.fc`, midChannels) : []),
    weight(`${prefix}.point_linear.conv.conv.weight`, [outChannels, midChannels, 1, 1]),
    ...batchNorm(`${prefix}.point_linear.bn.bn`, outChannels),
  ];
}

function kernelMatrices(space: SearchSpace, slot: number): ExpectedTensor[] {
  return space.kernelSizes.slice(0, -1).map((smaller, index) => {
    const larger = space.kernelSizes[index + 1] ?? smaller;
    return {
      name: kernelMatrixName(slot, larger, smaller),
      shape: [smaller ** 2, smaller ** 2],
      role: 'kernel-matrix',
    };
  });
}

function squeezeExcite(prefix: string, channels: number): ExpectedTensor[] {
  const inner = squeezeChannels(channels);
  return [
    weight(`${prefix}.reduce.weight`, [inner, channels, 1, 1]),
    bias(`${prefix}.reduce.bias`, inner),
    weight(`${prefix}.expand.weight`, [channels, inner, 1, 1]),
    bias(`${prefix}.expand.bias`, channels),
  ];
}

function batchNorm(prefix: string, channels: number): ExpectedTensor[] {
  return [
    { name: `${prefix}.weight`, shape: [channels], role: 'scale' },
    bias(`${prefix}.bias`, channels),
    { name: `${prefix}.running_mean`, shape: [channels], role: 'running-mean' },
    { name: `${prefix}.running_var`, shape: [channels], role: 'running-variance' },
    { name: `${prefix}.num_batches_tracked`, shape: [], role: 'batch-count' },
  ];
}

function weight(name: string, shape: readonly number[]): ExpectedTensor {
  return { name, shape, role: 'weight' };
}

function bias(name: string, channels: number): ExpectedTensor {
  return { name, shape: [channels], role: 'bias' };
}
