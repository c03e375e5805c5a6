/**
 * The process in which a family is tried. It loads and runs one model after the other, says which one it
 * turns to, and ends; a crash or a hang tells its parent as much as an error does.
 */

import { AppError, describeError } from '../../shared/errors.ts';
import { noise } from '../../shared/images/noise.ts';
import { sayToParent, serveParent } from '../../shared/native-child-side.ts';
import { type Session, Tensor } from '../../shared/onnx.ts';
import { elementsOf, type ModelSet, nameOfPoint, type PointSpec } from './protocol.ts';
import type { FromQualifier } from './qualify.ts';
import { openPoint } from './session.ts';

serveParent<ModelSet>(report);

async function report(models: ModelSet): Promise<void> {
  try {
    for (const [index, point] of models.points.entries()) {
      await tell({ kind: 'turning-to', point: index });
      await tryPoint(point, models);
    }
    await tell({ kind: 'passed' });
  } catch (error) {
    await tell({ kind: 'failed', message: describeError(error) });
  }
  process.disconnect();
}

function tell(message: FromQualifier): Promise<void> {
  return sayToParent(message);
}

async function tryPoint(point: PointSpec, models: ModelSet): Promise<void> {
  const { session } = await openPoint(point, models);
  const size = elementsOf(models.input);
  for (const [frame, pixels] of Object.entries({ zeros: new Uint8Array(size), noise: noise(size) })) {
    const problem = await problemOf(session, pixels, models);
    if (problem !== undefined)
      throw new AppError('invalid', `${nameOfPoint(point)}: a frame of ${frame}: ${problem}`);
  }
  await session.release();
}

async function problemOf(
  session: Session,
  pixels: Uint8Array,
  models: ModelSet,
): Promise<string | undefined> {
  const { input, output } = models;
  let data: unknown;
  try {
    const results = await session.run({ [input.name]: new Tensor('uint8', pixels, input.shape) }, [
      output.name,
    ]);
    data = results[output.name]?.data;
  } catch (error) {
    return `its run failed: ${describeError(error)}`;
  }
  const classes = elementsOf(output);
  if (!(data instanceof Float32Array) || data.length !== classes)
    return `did not give ${classes} float32 values`;
  return data.every(Number.isFinite) ? undefined : 'gave a value that is not finite';
}
