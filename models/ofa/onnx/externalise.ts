import { AppError } from '../../../shared/errors.ts';
import { onnx, type TensorProto } from './proto.ts';

/** Weights begin on a page, so that whole pages of the file are theirs when it is mapped. */
const PAGE_BYTES = 4_096;

/** Smaller tensors stay in the model: a mapping of their own costs more time and pages than they share. */
const LEAST_BYTES = 4 * PAGE_BYTES;

/** By so many of its first bytes a tensor is looked up among those that are there. */
const HEAD_BYTES = 64;

/** Bytes of the weights file, from `offset` on. */
export interface Piece {
  readonly offset: number;
  readonly data: Uint8Array;
}

/**
 * The weights of several models in one file, each stored once. A tensor that is equal to one that is there,
 * or to its beginning, as smaller sub-networks' are, takes no room: give the largest model first. Only the
 * weights of the file are kept in memory, not the models.
 */
export class WeightPool {
  readonly #location: string;
  readonly #pieces: Piece[] = [];
  readonly #byHead = new Map<string, Piece[]>();
  #byteLength = 0;

  /** @param location name of the weights file, in the folder of the models */
  constructor(location: string) {
    this.#location = location;
  }

  /** What the weights file holds, in the order of its offsets; between two pieces are less than a page of zeros. */
  get pieces(): readonly Piece[] {
    return this.#pieces;
  }

  /**
   * Takes the large tensors out of a model.
   * @returns the model, referring to the weights file (external data, as ONNX defines it)
   * @throws AppError `invalid` when it is no ONNX model
   */
  add(model: Uint8Array): Uint8Array {
    const message = decode(model);
    const tensors = message.graph?.initializer ?? [];
    for (const tensor of tensors.toSorted((a, b) => sizeOf(b) - sizeOf(a))) {
      if (sizeOf(tensor) < LEAST_BYTES) break;
      this.#externalise(tensor);
    }
    return onnx.ModelProto.encode(message).finish();
  }

  #externalise(tensor: TensorProto): void {
    const data = tensor.rawData ?? new Uint8Array();
    const { offset } = this.#find(data) ?? this.#append(data);
    delete tensor.rawData;
    tensor.dataLocation = onnx.TensorProto.DataLocation.EXTERNAL;
    tensor.externalData = [
      { key: 'location', value: this.#location },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(data.length) },
    ];
  }

  #find(data: Uint8Array): Piece | undefined {
    const candidates = this.#byHead.get(headOf(data)) ?? [];
    return candidates.find((piece) => beginsWith(piece.data, data));
  }

  #append(data: Uint8Array): Piece {
    // A copy: a view would keep the whole model in memory.
    const piece: Piece = {
      offset: this.#byteLength,
      data: Uint8Array.from(data),
    };
    this.#byteLength += Math.ceil(data.length / PAGE_BYTES) * PAGE_BYTES;
    this.#pieces.push(piece);
    const head = headOf(data);
    this.#byHead.set(head, [...(this.#byHead.get(head) ?? []), piece]);
    return piece;
  }
}

function decode(model: Uint8Array): InstanceType<typeof onnx.ModelProto> {
  try {
    return onnx.ModelProto.decode(model);
  } catch (cause) {
    throw new AppError('invalid', 'expected an ONNX model', { cause });
  }
}

function sizeOf({ rawData }: TensorProto): number {
  return rawData?.length ?? 0;
}

function headOf(data: Uint8Array): string {
  return data.subarray(0, HEAD_BYTES).join();
}

function beginsWith(whole: Uint8Array, part: Uint8Array): boolean {
  if (part.length > whole.length) return false;
  return Buffer.compare(whole.subarray(0, part.length), part) === 0;
}
