import { AppError } from '../../shared/errors.ts';
import { createSessionFromBytes, type Session, servingOptions, Tensor } from '../../shared/onnx.ts';
import type { Architecture } from '../ofa/architecture.ts';
import { type Checkpoint, toFloat32 } from '../ofa/checkpoint.ts';
import { GraphBuilder } from '../ofa/onnx/graph.ts';
import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';
import type { AccuracyPredictor, Candidate } from './accuracy-predictor.ts';

/** The space that the published predictor knows, `ofa_mbv3_d234_e346_k357`. */
const KERNELS = [3, 5, 7];
const RATIOS = [3, 4, 6];
const DEPTHS = [2, 3, 4];
const STAGES = 5;
const PER_STAGE = 4;
const BLOCKS = STAGES * PER_STAGE;

/** Features: kernels, ratios, and resolutions 112, 128, ..., 224, each as one of so many. */
const RATIOS_AT = BLOCKS * KERNELS.length;
const RESOLUTIONS_AT = RATIOS_AT + BLOCKS * RATIOS.length;
const RESOLUTIONS = { from: 112, step: 16, count: 8 };
const FEATURES = RESOLUTIONS_AT + RESOLUTIONS.count;
const HIDDEN = 400;

/** Shapes [out, in] of the linear layers, by their number in the checkpoint; the others are ReLUs. */
const LAYERS: readonly { readonly key: string; readonly shape: readonly [number, number] }[] = [
  { key: '0', shape: [HIDDEN, FEATURES] },
  { key: '2', shape: [HIDDEN, HIDDEN] },
  { key: '4', shape: [HIDDEN, HIDDEN] },
  { key: '6', shape: [1, HIDDEN] },
];

const BATCH = 1_000;

export interface MlpOptions {
  /** Of ONNX Runtime, for each batch. */
  readonly threads?: number;
  /**
   * The published predictor takes the resolutions 208 to 222 for one, and so with the other multiples of 16.
   * This one interpolates between the two multiples beside a resolution.
   */
  readonly continuousResolution?: boolean;
}

/** A predictor that holds memory of ONNX Runtime until it is closed. */
export interface ClosablePredictor extends AccuracyPredictor {
  close(): Promise<void>;
}

/**
 * The accuracy predictor published with Once-for-all (Cai et al., ICLR 2020), with the weights that
 * Dynamic-OFA ships: 128 features, three hidden layers of 400, ReLU. Its order is right; its accuracies are
 * 4 to 7 points above measured ones. It knows fp32 only.
 * @param checkpoint tensors `0.weight`, `0.bias`, ..., `6.bias`
 * @throws AppError `invalid` for another space than the predictor's, or tensors that are missing or do not fit
 */
export async function publishedMlp(
  checkpoint: Checkpoint,
  space: SearchSpace,
  { threads = 1, continuousResolution = false }: MlpOptions = {},
): Promise<ClosablePredictor> {
  checkSpace(space);
  const session = await createSessionFromBytes(graphOf(checkpoint), servingOptions(['cpu'], threads));
  const name = continuousResolution ? 'published-mlp, continuous resolution' : 'published-mlp';
  return {
    name,
    predict: async (candidates) => {
      const wrong = candidates.find(({ precision }) => precision !== 'fp32');
      if (wrong !== undefined) {
        throw new AppError('invalid', `predictor ${name}: knows fp32 only, not ${wrong.precision}`);
      }
      return continuousResolution ? await between(session, candidates) : await predicted(session, candidates);
    },
    close: async () => await session.release(),
  };
}

function checkSpace(space: SearchSpace): void {
  const { stages, kernelSizes, expandRatios, depths, resolutions } = space;
  const { from, step, count } = RESOLUTIONS;
  const sides = Array.from({ length: step * count }, (_, index) => from + index);
  const known: readonly (readonly [string, readonly number[], readonly number[]])[] = [
    ['stages', [stages.length], [STAGES]],
    ['blocks a stage', [blocksPerStage(space)], [PER_STAGE]],
    ['kernel sizes', kernelSizes, KERNELS],
    ['expand ratios', expandRatios, RATIOS],
    ['depths', depths, DEPTHS],
    ['resolutions', resolutions, sides],
  ];
  for (const [what, values, expected] of known) {
    const strange = values.find((value) => !expected.includes(value));
    if (strange === undefined) continue;
    const range = expected.length > 8 ? `${expected[0]} to ${expected.at(-1)}` : expected.join(', ');
    throw new AppError(
      'invalid',
      `published accuracy predictor: knows ${what} ${range}, the space has ${strange}`,
    );
  }
}

function graphOf({ tensors }: Checkpoint): Uint8Array {
  const graph = new GraphBuilder('accuracy');
  const constant = (name: string, shape: readonly number[]): string => {
    const tensor = tensors.get(name);
    if (tensor?.shape.join() !== shape.join()) {
      const found = tensor === undefined ? 'missing' : `of shape [${tensor.shape.join(', ')}]`;
      throw new AppError(
        'invalid',
        `accuracy predictor: tensor ${name} is ${found}, expected [${shape.join(', ')}]`,
      );
    }
    return graph.constant(name, shape, toFloat32(tensor, `accuracy predictor: ${name}`));
  };
  let value = graph.input('features', 'float32', ['batch', FEATURES]);
  for (const { key, shape } of LAYERS) {
    const inputs = [value, constant(`${key}.weight`, shape), constant(`${key}.bias`, [shape[0]])];
    const isLast = key === LAYERS.at(-1)?.key;
    value = graph.node('Gemm', inputs, isLast ? 'accuracy' : `linear-${key}`, { transB: { int: 1 } });
    if (!isLast) value = graph.node('Relu', [value], `relu-${key}`);
  }
  graph.output(value, 'float32', ['batch', 1]);
  return graph.encode();
}

async function predicted(session: Session, candidates: readonly Candidate[]): Promise<Float32Array> {
  const accuracies = new Float32Array(candidates.length);
  for (let start = 0; start < candidates.length; start += BATCH) {
    const batch = candidates.slice(start, start + BATCH);
    const features = new Float32Array(batch.length * FEATURES);
    for (const [index, { architecture }] of batch.entries()) {
      encode(architecture, features.subarray(index * FEATURES, (index + 1) * FEATURES));
    }
    const input = new Tensor('float32', features, [batch.length, FEATURES]);
    const { accuracy } = await session.run({ features: input });
    if (accuracy?.data instanceof Float32Array) accuracies.set(accuracy.data, start);
  }
  return accuracies;
}

/** Sets the features of one architecture; those of blocks that do not run stay 0. */
function encode({ ks, e, d, r }: Architecture, features: Float32Array): void {
  for (let block = 0; block < BLOCKS; block += 1) {
    if (block % PER_STAGE >= (d[Math.floor(block / PER_STAGE)] ?? 0)) continue;
    features[block * KERNELS.length + KERNELS.indexOf(ks[block] ?? 0)] = 1;
    features[RATIOS_AT + block * RATIOS.length + RATIOS.indexOf(e[block] ?? 0)] = 1;
  }
  features[RESOLUTIONS_AT + Math.floor((r - RESOLUTIONS.from) / RESOLUTIONS.step)] = 1;
}

/** Predictions at the multiples of 16 below and above, weighted by how near they are. */
async function between(session: Session, candidates: readonly Candidate[]): Promise<Float32Array> {
  const { from, step, count } = RESOLUTIONS;
  const last = from + step * (count - 1);
  const at = candidates.map(({ architecture, precision }) => {
    const below = Math.min(last, from + step * Math.floor((architecture.r - from) / step));
    const share = below === last ? 0 : (architecture.r - below) / step;
    return { architecture, precision, below, share };
  });
  const upper = at.filter(({ share }) => share > 0);
  const moved = (list: typeof at, by: number): Candidate[] =>
    list.map(({ architecture, precision, below }) => ({
      architecture: { ...architecture, r: below + by },
      precision,
    }));
  const accuracies = await predicted(session, [...moved(at, 0), ...moved(upper, step)]);
  const result = accuracies.slice(0, at.length);
  let next = at.length;
  for (const [index, { share }] of at.entries()) {
    if (share === 0) continue;
    result[index] = (1 - share) * (accuracies[index] ?? 0) + share * (accuracies[next] ?? 0);
    next += 1;
  }
  return result;
}
