import { AppError } from '../../shared/errors.ts';
import { makeDivisible, type SearchSpace, type Stage, spaceParser, specOf } from './space.ts';

/** Of `blocks.0` and the five stages behind it (MIT's `OFAMobileNetV3`); widths before the multiplier. */
const MOBILE_NET_V3 = {
  stem: 16,
  firstBlock: 16,
  stages: [
    { width: 24, stride: 2, activation: 'relu', squeezeExcite: false },
    { width: 40, stride: 2, activation: 'relu', squeezeExcite: true },
    { width: 80, stride: 2, activation: 'h_swish', squeezeExcite: false },
    { width: 112, stride: 1, activation: 'h_swish', squeezeExcite: true },
    { width: 160, stride: 2, activation: 'h_swish', squeezeExcite: true },
  ],
  finalExpand: 960,
  featureMix: 1_280,
} as const satisfies Record<string, number | readonly Stage[]>;

/** What ImageNet's pixels are normalised by: red, green, blue, of 0..1. */
const IMAGENET_MEAN = [0.485, 0.456, 0.406];
const IMAGENET_STD = [0.229, 0.224, 0.225];

/** Every resolution from 128 to 224 pixels in steps of 4, as OFA's search has them. */
const RESOLUTIONS = Array.from({ length: 25 }, (_, index) => 128 + 4 * index);

/**
 * MIT's search space `ofa_mbv3_d234_e346_k357`: kernels 3, 5, 7, expand ratios 3, 4, 6, depths 2, 3, 4, for
 * ImageNet.
 * @param widthMultiplier 1 and 1.2 are those of MIT's released weights
 */
export function mobileNetV3Space({ widthMultiplier }: { readonly widthMultiplier: number }): SearchSpace {
  const width = (base: number): number => makeDivisible(base * widthMultiplier);
  const { stem, firstBlock, stages, finalExpand, featureMix } = MOBILE_NET_V3;
  return {
    inChannels: 3,
    classes: 1_000,
    stem: { width: width(stem), stride: 2 },
    firstBlock: { width: width(firstBlock), stride: 1 },
    stages: stages.map((stage) => ({ ...stage, width: width(stage.width) })),
    finalExpandWidth: width(finalExpand),
    featureMixWidth: width(featureMix),
    kernelSizes: [3, 5, 7],
    expandRatios: [3, 4, 6],
    depths: [2, 3, 4],
    resolutions: RESOLUTIONS,
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    frame: [224, 224],
  };
}

/** The space of the family that comes with the project: grey 28 x 28 images of ten kinds of clothing. */
const FASHION_MNIST: SearchSpace = {
  inChannels: 1,
  classes: 10,
  stem: { width: 16, stride: 1 },
  firstBlock: { width: 16, stride: 2 },
  stages: [
    { width: 24, stride: 2, activation: 'relu', squeezeExcite: false },
    { width: 32, stride: 1, activation: 'relu', squeezeExcite: true },
    { width: 40, stride: 2, activation: 'h_swish', squeezeExcite: false },
    { width: 48, stride: 1, activation: 'h_swish', squeezeExcite: true },
    { width: 56, stride: 1, activation: 'h_swish', squeezeExcite: true },
  ],
  finalExpandWidth: 336,
  featureMixWidth: 192,
  kernelSizes: [3, 5, 7],
  expandRatios: [3, 4, 6],
  depths: [2, 3, 4],
  resolutions: [20, 24, 28, 32],
  mean: [0.286],
  std: [0.353],
  frame: [28, 28],
};

/** Spaces that are known by name: MIT's released ones under MIT's names, and the project's own. */
export const KNOWN_SPACES: ReadonlyMap<string, SearchSpace> = new Map([
  ['ofa_mbv3_d234_e346_k357_w1.0', mobileNetV3Space({ widthMultiplier: 1 })],
  ['ofa_mbv3_d234_e346_k357_w1.2', mobileNetV3Space({ widthMultiplier: 1.2 })],
  ['fashion-mnist', FASHION_MNIST],
]);

/** Ends the message of whatever does not fit a space that is only inferred. */
export const SPACE_ASSUMED =
  "(the file states no search space, so that of MIT's ofa_mbv3 was assumed; --space FILE states another)";

/**
 * The space of weights that come without one: MIT's, with the numbers of channels and classes that the
 * tensors have. What the tensors do not say (strides, activations, resolutions, normalisation) is MIT's.
 * @param shapes of the tensors by their current names
 * @throws AppError `invalid` naming the tensor that such a super-network has and these weights do not, or a
 *   number of channels that no such space has: MIT's normalisation is of three
 */
export function inferSpace(shapes: ReadonlyMap<string, readonly number[]>, what: string): SearchSpace {
  const base = mobileNetV3Space({ widthMultiplier: 1 });
  const perStage = Math.max(...base.depths);
  const dimension = (name: string, axis: number): number => {
    const size = shapes.get(name)?.[axis];
    if (size !== undefined) return size;
    throw new AppError('invalid', `${what}: ${name} is missing or of another form ${SPACE_ASSUMED}`);
  };
  const inChannels = dimension('first_conv.conv.weight', 1);
  if (inChannels !== base.inChannels) {
    throw new AppError(
      'invalid',
      `${what}: its images have ${inChannels} channels, expected ${base.inChannels} ${SPACE_ASSUMED}`,
    );
  }
  const space: SearchSpace = {
    ...base,
    classes: dimension('classifier.linear.weight', 0),
    stem: { ...base.stem, width: dimension('first_conv.conv.weight', 0) },
    firstBlock: { ...base.firstBlock, width: dimension('blocks.0.conv.point_linear.conv.weight', 0) },
    stages: base.stages.map((stage, index) => ({
      ...stage,
      width: dimension(`blocks.${1 + index * perStage}.conv.point_linear.conv.conv.weight`, 0),
    })),
    finalExpandWidth: dimension('final_expand_layer.conv.weight', 0),
    featureMixWidth: dimension('feature_mix_layer.conv.weight', 0),
  };
  // Shapes come from outside: they are held to the same rules as a written space.
  return spaceParser()(specOf(space), `${what}: the space of its shapes`);
}
