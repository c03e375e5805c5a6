import type { AppError } from '../../shared/errors.ts';
import { type ElementType, quoted } from '../ofa/checkpoint.ts';
import {
  isKind,
  type PickledStorage,
  type PickledTensor,
  type PickleGlobal,
  type PickleValue,
} from './pickle-values.ts';

/** Makes the error that names the file and the place. */
type Problem = (message: string) => AppError;

/** Ends the message of every refusal of a class or function, with what the file's owner can do. */
export const ONLY_DATA =
  "only tensors and plain data are read, no code is run; if you trust the file, load it in Python and save only the weights: torch.save(checkpoint['state_dict'], FILE)";

const STORAGE_TYPES: ReadonlyMap<string, ElementType> = new Map([
  ['torch.DoubleStorage', 'F64'],
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
]);

type Rebuild = (args: readonly PickleValue[], problem: Problem) => PickleValue;

/** What stands in for the few functions that a pickle of tensors calls; none of Python's is ever run. */
const CALLABLES: ReadonlyMap<string, Rebuild> = new Map<string, Rebuild>([
  ['collections.OrderedDict', orderedDict],
  ['torch.Size', size],
  ['torch._utils._rebuild_tensor_v2', tensor],
  ['torch._utils._rebuild_parameter', parameter],
]);

const MAX_RANK = 64;

/**
 * Looks a class or function up in the list of those that are allowed.
 * @throws AppError `invalid` with its name for every other one
 */
export function allowedGlobal(module: string, name: string, problem: Problem): PickleGlobal {
  const full = `${module}.${name}`;
  if (STORAGE_TYPES.has(full) || CALLABLES.has(full)) return { kind: 'global', name: full };
  throw problem(`the pickle names ${quoted(full)}: ${ONLY_DATA}`);
}

/**
 * What a call of an allowed function gives.
 * @throws AppError `invalid` for arguments that torch.save does not write
 */
export function callAllowed(
  callee: PickleValue | undefined,
  args: PickleValue | undefined,
  problem: Problem,
): PickleValue {
  if (!isKind(callee, 'global') || !isKind(args, 'tuple')) {
    throw problem('the pickle calls something that is not a function, or without a tuple of arguments');
  }
  const rebuild = CALLABLES.get(callee.name);
  if (rebuild === undefined) throw problem(`the pickle calls ${callee.name}, which is not a function`);
  return rebuild(args.items, problem);
}

/**
 * The storage that a persistent id stands for: ('storage', type, key, place, elements, None).
 * @throws AppError `invalid` for every other one
 */
export function storageOf(id: PickleValue | undefined, problem: Problem): PickledStorage {
  const [tag, type, key, , count, view = null] = isKind(id, 'tuple') ? id.items : [];
  const dtype = isKind(type, 'global') ? STORAGE_TYPES.get(type.name) : undefined;
  if (tag !== 'storage' || dtype === undefined || typeof key !== 'string' || !isSize(count)) {
    throw problem('a persistent id that is not a storage with its type, key and number of elements');
  }
  if (view !== null) throw problem(`storage ${quoted(key)} is a view of another one, which is not supported`);
  return { kind: 'storage', key, dtype, count };
}

function orderedDict(args: readonly PickleValue[], problem: Problem): PickleValue {
  if (args.length > 0) throw problem('an OrderedDict with arguments, expected it to be filled afterwards');
  return { kind: 'dict', ordered: true, entries: new Map() };
}

function size([items]: readonly PickleValue[], problem: Problem): PickleValue {
  return { kind: 'tuple', items: sizes(items, 'size', problem) };
}

/** Arguments: storage, offset, sizes, strides, requires_grad, hooks, and in newer files metadata. */
function tensor(args: readonly PickleValue[], problem: Problem): PickledTensor {
  const [storage, offset, shapeItems, strideItems] = args;
  if (!isKind(storage, 'storage')) throw problem('a tensor without a storage');
  if (!isSize(offset)) throw problem(`a tensor's offset is ${shown(offset)}, expected a number from 0`);
  const shape = sizes(shapeItems, 'shape', problem);
  const strides = sizes(strideItems, 'strides', problem);
  if (shape.length !== strides.length) {
    throw problem(`a tensor has ${shape.length} dimensions and ${strides.length} strides`);
  }
  return { kind: 'tensor', storage, offset, shape, strides };
}

/** Arguments: the tensor, requires_grad, hooks. */
function parameter([data]: readonly PickleValue[], problem: Problem): PickledTensor {
  if (!isKind(data, 'tensor')) throw problem('a parameter without a tensor');
  return data;
}

function sizes(value: PickleValue | undefined, name: string, problem: Problem): number[] {
  const items = sequenceItems(value);
  if (items === undefined || items.length > MAX_RANK) {
    throw problem(`a tensor's ${name} is not a tuple of at most ${MAX_RANK} numbers`);
  }
  return items.map((item) => {
    if (isSize(item)) return item;
    throw problem(`a tensor's ${name} has ${shown(item)}, expected whole numbers from 0`);
  });
}

function sequenceItems(value: PickleValue | undefined): readonly PickleValue[] | undefined {
  return isKind(value, 'tuple') || isKind(value, 'list') ? value.items : undefined;
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function shown(value: PickleValue | undefined): string {
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : `a ${typeof value}`;
}
