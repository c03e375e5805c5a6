import { AppError, describeError } from '../../shared/errors.ts';
import { createSession, PROVIDERS, type Session, servingOptions } from '../../shared/onnx.ts';
import { type LevelSpec, type ModelSet, nameOfPoint, type TensorSpec } from './protocol.ts';

type ValueMetadata = Session['inputMetadata'][number];

/**
 * Creates the session of a point and checks that it takes and gives what its family says. Blocks the thread.
 * @throws AppError `invalid` naming level, file, and what was expected and found
 */
export async function openPoint(point: LevelSpec, models: ModelSet): Promise<Session> {
  let session: Session;
  try {
    session = await createSession(point.modelPath, servingOptions(PROVIDERS[point.pe], models.threads));
  } catch (cause) {
    throw new AppError('invalid', `${nameOfPoint(point)}: cannot be loaded: ${describeError(cause)}`, {
      cause,
    });
  }
  const wrong =
    problemOf('input', session.inputMetadata, { ...models.input, type: 'uint8' }) ??
    surplusInput(session, models.input) ??
    problemOf('output', session.outputMetadata, { ...models.output, type: 'float32' });
  if (wrong === undefined) return session;
  await session.release();
  throw new AppError('invalid', `${nameOfPoint(point)}: ${wrong}`);
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
