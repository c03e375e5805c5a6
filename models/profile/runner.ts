import { AppError, describeError } from '../../shared/errors.ts';
import { noise } from '../../shared/images/noise.ts';
import type { RunOnce } from '../../shared/measure/turns.ts';
import { createSession, type Session, servingOptions, Tensor } from '../../shared/onnx.ts';
import { type FrameForm, formOf, type NormalisedForm } from '../evaluate/input-form.ts';
import type { ExecutionProvider, ModelToProfile, RunSettings } from './protocol.ts';

/** What stands behind a provider takes the operators that it does not have. */
export const PROVIDERS: Readonly<Record<ExecutionProvider, readonly string[]>> = {
  cpu: ['cpu'],
  cuda: ['cuda', 'cpu'],
  tensorrt: ['tensorrt', 'cuda', 'cpu'],
};

/** A session and a way to run it once. */
export interface Runner {
  readonly session: Session;
  readonly run: RunOnce;
}

/**
 * Opens a model as it will serve. Blocks the thread.
 * @throws AppError `invalid` naming the model: it cannot be loaded, or takes what is not there
 */
export async function openRunner(model: ModelToProfile, settings: RunSettings): Promise<Runner> {
  const what = `${model.name} on ${model.pe}`;
  let session: Session;
  try {
    session = await createSession(model.path, servingOptions(PROVIDERS[model.pe], settings.threads));
  } catch (cause) {
    // Models are known by their names: a path may be that of a temporary file, also in the library's words.
    const reason = describeError(cause).replaceAll(model.path, model.name);
    throw new AppError('invalid', `${what}: cannot be loaded: ${reason}`);
  }
  const { input, outputName } = formOf(session, what);
  const inputs = inputsOf(input, settings, what);
  const run: RunOnce = async (turn) => {
    const tensor = inputs[turn % inputs.length];
    if (tensor !== undefined) await session.run({ [input.name]: tensor }, [outputName]);
  };
  return { session, run };
}

function inputsOf(input: FrameForm | NormalisedForm, settings: RunSettings, what: string): Tensor[] {
  const { frames, shape } = settings;
  const [height, width, channels] = shape ?? [];
  if (input.kind === 'normalised') {
    const side = input.resolution ?? height;
    const dims = known([input.batch ?? 1, input.channels ?? channels, side, side], what);
    return [new Tensor('float32', Float32Array.from(noise(sizeOf(dims)), normalised), dims)];
  }
  const [ownHeight, ownWidth, ownChannels] = input.shape;
  const dims = known([1, ownHeight ?? height, ownWidth ?? width, ownChannels ?? channels], what);
  const wrong = frames.findIndex((frame) => frame.length !== sizeOf(dims));
  if (wrong >= 0) {
    const found = frames[wrong]?.length;
    throw new AppError('invalid', `${what}: frame ${wrong} has ${found} bytes, it takes ${sizeOf(dims)}`);
  }
  return (frames.length > 0 ? frames : [noise(sizeOf(dims))]).map(
    (frame) => new Tensor('uint8', frame, dims),
  );
}

function known(dims: readonly (number | undefined)[], what: string): number[] {
  return dims.map((size) => {
    if (size !== undefined) return size;
    throw new AppError('invalid', `${what}: leaves the size of its input open; give the frame's shape`);
  });
}

function sizeOf(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

/** A byte as a normalised float: about -2 to 2. */
function normalised(byte: number): number {
  return byte / 64 - 2;
}
