import { AppError } from '../../shared/errors.ts';
import type { Precision } from '../../shared/family/manifest.ts';
import { createSessionFromBytes, type Session, servingOptions, Tensor } from '../../shared/onnx.ts';
import type { Architecture } from '../ofa/architecture.ts';
import { type Checkpoint, toFloat32 } from '../ofa/checkpoint.ts';
import { GraphBuilder } from '../ofa/onnx/graph.ts';
import { blocksPerStage, type SearchSpace } from '../ofa/space.ts';
import type { AccuracyPredictor, Candidate, GenomeCoding, PredictGenomes } from './accuracy-predictor.ts';

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
  const checkPrecisions = (list: readonly { readonly precision: Precision }[]): void => {
    const wrong = list.find(({ precision }) => precision !== 'fp32');
    if (wrong === undefined) return;
    throw new AppError('invalid', `predictor ${name}: knows fp32 only, not ${wrong.precision}`);
  };
  return {
    name,
    predict: async (candidates) => {
      checkPrecisions(candidates);
      return await predictCandidates(session, candidates, continuousResolution);
    },
    forGenomes: (coding) => {
      checkPrecisions(coding.settings);
      return genomePredictor(session, coding, continuousResolution);
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

/** Writes the features of an item's blocks into a row of zeros that starts at the offset. */
type EncodeBlocks = (item: number, features: Float32Array, offset: number) => void;

/** Resolution feature `at` and, with this share, the one after it. */
interface Mix {
  readonly at: number;
  readonly share: number;
}

function mixOf(r: number, continuous: boolean): Mix {
  const { from, step, count } = RESOLUTIONS;
  const place = (r - from) / step;
  const at = Math.floor(place);
  return { at, share: continuous && at < count - 1 ? place - at : 0 };
}

/** One row for each item, and another one where two resolutions are mixed. */
async function predicted(
  session: Session,
  mixes: readonly Mix[],
  encodeBlocks: EncodeBlocks,
): Promise<Float32Array> {
  const rows = mixes.map(({ at }, item) => ({ item, at }));
  for (const [item, { at, share }] of mixes.entries()) if (share > 0) rows.push({ item, at: at + 1 });
  const accuracies = new Float32Array(rows.length);
  for (let start = 0; start < rows.length; start += BATCH) {
    const count = Math.min(BATCH, rows.length - start);
    const features = new Float32Array(count * FEATURES);
    for (let row = 0; row < count; row += 1) {
      const { item, at } = rows[start + row] ?? { item: 0, at: 0 };
      encodeBlocks(item, features, row * FEATURES);
      features[row * FEATURES + RESOLUTIONS_AT + at] = 1;
    }
    const { accuracy } = await session.run({ features: new Tensor('float32', features, [count, FEATURES]) });
    if (accuracy?.data instanceof Float32Array) accuracies.set(accuracy.data, start);
  }
  for (const [extra, { item }] of rows.slice(mixes.length).entries()) {
    const share = mixes[item]?.share ?? 0;
    const [below, above] = [accuracies[item] ?? 0, accuracies[mixes.length + extra] ?? 0];
    accuracies[item] = (1 - share) * below + share * above;
  }
  return accuracies.subarray(0, mixes.length);
}

async function predictCandidates(
  session: Session,
  candidates: readonly Candidate[],
  continuous: boolean,
): Promise<Float32Array> {
  const mixes = candidates.map(({ architecture }) => mixOf(architecture.r, continuous));
  return await predicted(session, mixes, (item, features, offset) => {
    const architecture = candidates[item]?.architecture;
    if (architecture !== undefined) encode(architecture, features, offset);
  });
}

/** Sets the features of one architecture's blocks; those of blocks that do not run stay 0. */
function encode({ ks, e, d }: Architecture, features: Float32Array, offset: number): void {
  for (let block = 0; block < BLOCKS; block += 1) {
    if (block % PER_STAGE >= (d[Math.floor(block / PER_STAGE)] ?? 0)) continue;
    features[offset + block * KERNELS.length + KERNELS.indexOf(ks[block] ?? 0)] = 1;
    features[offset + RATIOS_AT + block * RATIOS.length + RATIOS.indexOf(e[block] ?? 0)] = 1;
  }
}

function genomePredictor(
  session: Session,
  { settings, choices }: GenomeCoding,
  continuous: boolean,
): PredictGenomes {
  const mixOfSetting = settings.map(({ r }) => mixOf(r, continuous));
  const kernels = Uint8Array.from(choices, ({ kernel }) => KERNELS.indexOf(kernel));
  const ratios = Uint8Array.from(choices, ({ ratio }) => RATIOS.indexOf(ratio));
  const nothing: Mix = { at: 0, share: 0 };
  return async (genomes) => {
    const mixes = genomes.map((genome) => mixOfSetting[genome[0] ?? 0] ?? nothing);
    return await predicted(session, mixes, (item, features, offset) => {
      const genome = genomes[item];
      if (genome === undefined) return;
      for (let block = 0; block < BLOCKS; block += 1) {
        if (block % PER_STAGE >= (genome[1 + Math.floor(block / PER_STAGE)] ?? 0)) continue;
        const choice = genome[1 + STAGES + block] ?? 0;
        features[offset + block * KERNELS.length + (kernels[choice] ?? 0)] = 1;
        features[offset + RATIOS_AT + block * RATIOS.length + (ratios[choice] ?? 0)] = 1;
      }
    });
  };
}
