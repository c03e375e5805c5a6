import { AppError } from '../../shared/errors.ts';
import type { Session } from '../../shared/onnx.ts';

/** A size that the model leaves open is undefined. */
type Size = number | undefined;

/** Frames of bytes, height x width x channels: resizing and normalisation are inside of the graph. */
export interface FrameForm {
  readonly kind: 'frames';
  readonly name: string;
  /** [height, width, channels]. */
  readonly shape: readonly [Size, Size, Size];
}

/** Normalised floats, channels x resolution x resolution: whoever runs the model prepares them. */
export interface NormalisedForm {
  readonly kind: 'normalised';
  readonly name: string;
  readonly batch: Size;
  readonly channels: Size;
  readonly resolution: Size;
}

/** What a classifier takes and gives. */
export interface ModelForm {
  readonly input: FrameForm | NormalisedForm;
  readonly outputName: string;
  readonly classes: number;
}

type ValueMetadata = Session['inputMetadata'][number];

/**
 * Reads a classifier's form from its session: one input, uint8 [1, height, width, channels] or float32
 * [batch, channels, r, r]; one output, float32 [batch, classes].
 * @throws AppError `invalid` saying what was expected and found
 */
export function formOf(session: Session, what: string): ModelForm {
  const [input, ...otherInputs] = session.inputMetadata;
  const [output] = session.outputMetadata;
  if (input === undefined || otherInputs.length > 0) {
    throw new AppError('invalid', `${what}: has ${session.inputMetadata.length} inputs, expected one`);
  }
  if (output?.isTensor !== true || output.type !== 'float32' || output.shape.length !== 2) {
    throw new AppError('invalid', `${what}: ${described('output', output)}, expected float32 [1, classes]`);
  }
  const classes = sizeOf(output.shape[1]);
  if (classes === undefined) {
    throw new AppError('invalid', `${what}: ${described('output', output)}, its number of classes is open`);
  }
  return { input: inputForm(input, what), outputName: output.name, classes };
}

function inputForm(input: ValueMetadata, what: string): FrameForm | NormalisedForm {
  if (input.isTensor && input.shape.length === 4) {
    const [batch, second, third, fourth] = input.shape.map(sizeOf);
    const { name } = input;
    if (input.type === 'uint8' && (batch ?? 1) === 1) {
      return { kind: 'frames', name, shape: [second, third, fourth] };
    }
    if (input.type === 'float32' && third === fourth) {
      return { kind: 'normalised', name, batch, channels: second, resolution: third };
    }
  }
  throw new AppError(
    'invalid',
    `${what}: ${described('input', input)}, expected uint8 [1, height, width, channels] or float32 [batch, channels, r, r]`,
  );
}

function sizeOf(dimension: number | string | undefined): Size {
  return typeof dimension === 'number' && dimension > 0 ? dimension : undefined;
}

function described(side: 'input' | 'output', value: ValueMetadata | undefined): string {
  if (value === undefined) return `has no ${side}`;
  const is = value.isTensor ? `${value.type} [${value.shape.join(', ')}]` : 'not a tensor';
  return `${side} "${value.name}" is ${is}`;
}
