import { noise } from '../../shared/images/noise.ts';
import { type Session, Tensor } from '../../shared/onnx.ts';
import type { LeanForm } from './lean-names.ts';

/** A round counts against a form when it takes this much longer than the portable model in it. */
const TOLERATED_SLOWDOWN = 1.15;
/**
 * This share of the rounds makes it slower. On a busy machine a single one tells little: of models that are
 * alike one in four goes against either, of one that takes twice as long six in seven.
 */
const SHARE_AGAINST = 2 / 3;
/** At least so many rounds, and more until the time is over. */
const LEAST_ROUNDS = 7;
const MOST_ROUNDS = 31;
const TRIAL_MS = 500;
/** Of which the fastest counts: the first one finds the other model's caches, another may be interrupted. */
const RUNS_PER_ROUND = 3;
/** Outputs may differ by this, absolutely, or relative to the greatest of them. */
const TOLERATED_DIFFERENCE = 1e-5;

/** The same model, opened in each of its forms. */
export interface Forms {
  readonly portable: Session;
  readonly inPlace: Session;
  readonly selfContained: Session;
}

/**
 * Which lean form of a model is right and not slower than the portable one, on this machine. With weights in
 * place memory is least, but operators that want them in another order (those of 8-bit integers, and on some
 * CPUs others) are slower then. Blocks the thread.
 * @returns undefined when neither is: then the portable model is best
 */
export async function bestForm({ portable, inPlace, selfContained }: Forms): Promise<LeanForm | undefined> {
  const feeds = sampleOf(portable);
  if (feeds === undefined) return undefined;
  const expected = await outputOf(portable, feeds);
  const candidates: [LeanForm, Session][] = [
    ['in-place', inPlace],
    ['self-contained', selfContained],
  ];
  for (const [form, session] of candidates) {
    const isRight = isClose(await outputOf(session, feeds), expected);
    if (isRight && !(await isSlower(session, portable, feeds))) return form;
  }
  return undefined;
}

type Feeds = Readonly<Record<string, Tensor>>;

/** A frame of noise; undefined for a model that takes something else than one tensor of pixels. */
function sampleOf({ inputMetadata }: Session): Feeds | undefined {
  const [input] = inputMetadata;
  if (inputMetadata.length !== 1 || !input?.isTensor || input.type !== 'uint8') return undefined;
  // A dimension that the model leaves open may be anything.
  const shape = input.shape.map((size) => (typeof size === 'number' ? size : 1));
  const pixels = noise(shape.reduce((product, size) => product * size, 1));
  return { [input.name]: new Tensor('uint8', pixels, shape) };
}

async function outputOf(session: Session, feeds: Feeds): Promise<Float32Array> {
  const [name = ''] = session.outputNames;
  const data = (await session.run(feeds, [name]))[name]?.data;
  return data instanceof Float32Array ? data : new Float32Array();
}

function isClose(actual: Float32Array, expected: Float32Array): boolean {
  if (actual.length !== expected.length || expected.length === 0) return false;
  const greatest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return actual.every(
    (value, index) => Math.abs(value - (expected[index] ?? Number.NaN)) <= TOLERATED_DIFFERENCE * greatest,
  );
}

/** They take turns, so that what else the machine does hits both alike. */
async function isSlower(tried: Session, portable: Session, feeds: Feeds): Promise<boolean> {
  const endMs = performance.now() + TRIAL_MS;
  let [rounds, against] = [0, 0];
  // The first one, which grows the heap, does not count.
  await fastestMs(portable, feeds);
  await fastestMs(tried, feeds);
  while (rounds < LEAST_ROUNDS || (rounds < MOST_ROUNDS && performance.now() < endMs)) {
    const portableMs = await fastestMs(portable, feeds);
    const triedMs = await fastestMs(tried, feeds);
    rounds += 1;
    if (triedMs > TOLERATED_SLOWDOWN * portableMs) against += 1;
  }
  return against >= SHARE_AGAINST * rounds;
}

async function fastestMs(session: Session, feeds: Feeds): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS_PER_ROUND; run += 1) {
    const startMs = performance.now();
    await session.run(feeds);
    fastest = Math.min(fastest, performance.now() - startMs);
  }
  return fastest;
}
