import { AppError, describeError } from '../../shared/errors.ts';
import { createSession, leanOptions, type Session, servingOptions } from '../../shared/onnx.ts';
import { isSelfContained } from './lean-names.ts';
import { isCpuOnly, type ModelSet, nameOfPoint, type PointSpec, type TensorSpec } from './protocol.ts';

type ValueMetadata = Session['inputMetadata'][number];

/** A session that is ready to run. */
export interface OpenPoint {
  readonly session: Session;
  /** Why it is the portable model's, where a lean one was named. */
  readonly fallback?: string;
}

/**
 * Creates the session of a point and checks that it takes and gives what its family says: of its lean model
 * where that works, else of the portable one. Blocks the thread.
 * @throws AppError `invalid` naming level, file, and what was expected and found
 */
export async function openPoint(point: PointSpec, models: ModelSet): Promise<OpenPoint> {
  const { leanPath } = point;
  // A lean model is optimised for the CPU; another provider optimises the portable one for itself.
  if (leanPath === undefined || !isCpuOnly(point)) return { session: await openPortable(point, models) };
  try {
    return { session: await openLean(point, leanPath, models) };
  } catch (error) {
    const fallback = `${nameOfPoint(point)}: its lean model is left aside: ${describeError(error)}`;
    return { session: await openPortable(point, models), fallback };
  }
}

async function openLean(point: PointSpec, leanPath: string, models: ModelSet): Promise<Session> {
  const options = leanOptions(point.threads, { inPlace: !isSelfContained(leanPath) });
  return await checked(await createSession(leanPath, options), models, leanPath);
}

async function openPortable(point: PointSpec, models: ModelSet): Promise<Session> {
  const { providers, threads, modelPath } = point;
  let session: Session;
  try {
    session = await createSession(modelPath, servingOptions(providers, threads));
  } catch (cause) {
    const where = isCpuOnly(point) ? '' : ` with the providers ${providers.join(', ')}`;
    throw new AppError(
      'invalid',
      `${nameOfPoint(point)}: cannot be loaded${where}: ${describeError(cause)}`,
      { cause },
    );
  }
  return await checked(session, models, nameOfPoint(point));
}

/** Releases the session and throws when it is not of this family. */
async function checked(session: Session, { input, output }: ModelSet, what: string): Promise<Session> {
  const wrong =
    problemOf('input', session.inputMetadata, { ...input, type: 'uint8' }) ??
    surplusInput(session, input) ??
    problemOf('output', session.outputMetadata, { ...output, type: 'float32' });
  if (wrong === undefined) return session;
  await session.release();
  throw new AppError('invalid', `${what}: ${wrong}`);
}

function problemOf(
  side: 'input' | 'output',
  metadata: readonly ValueMetadata[],
  expected: TensorSpec & { type: string },
): string | undefined {
  const found = metadata.find(({ name }) => name === expected.name);
  if (found === undefined) {
    const names = metadata.map(({ name }) => `"${name}"`).join(', ');
    return `has no ${side} "${expected.name}", only ${names}`;
  }
  if (found.isTensor && found.type === expected.type && fits(found.shape, expected.shape)) return undefined;
  const is = found.isTensor ? `${found.type} [${found.shape.join(', ')}]` : 'not a tensor';
  return `${side} "${expected.name}" is ${is}, expected ${expected.type} [${expected.shape.join(', ')}]`;
}

function surplusInput(session: Session, input: TensorSpec): string | undefined {
  const surplus = session.inputNames.find((name) => name !== input.name);
  return surplus === undefined
    ? undefined
    : `also wants an input "${surplus}", only "${input.name}" is given`;
}

/** A dimension that the model leaves open, a name instead of a number, fits every size. */
function fits(found: readonly (number | string)[], expected: readonly number[]): boolean {
  return (
    found.length === expected.length &&
    found.every((dimension, index) => typeof dimension === 'string' || dimension === expected[index])
  );
}
