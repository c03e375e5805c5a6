import { AppError } from '../../shared/errors.ts';
import { type Checkpoint, type CheckpointTensor, ELEMENT_BYTES, quoted } from '../ofa/checkpoint.ts';
import {
  isKind,
  type PickleDict,
  type PickledStorage,
  type PickleKey,
  type PickleValue,
} from './pickle-values.ts';
import { type CopyBudget, contiguousTensor } from './strided.ts';

/** Under which keys training programs keep the weights, beside epochs and optimizers. */
const CONTAINERS = ['state_dict', 'model_state_dict', 'model', 'state_dict_ema', 'model_ema', 'net'];

/**
 * The tensors of an unpickled checkpoint: it is a state dict or has one under exactly one of the usual keys.
 * What else is beside the tensors is left out.
 * @param bytesOf finds a storage's bytes
 * @param copyLimit how many bytes of tensors that are not contiguous may be copied
 * @throws AppError `invalid` if there are no tensors, two dictionaries of them, or one does not fit its storage
 */
export function stateDictOf(
  value: PickleValue,
  { what, bytesOf, copyLimit }: { what: string; bytesOf: (key: string) => Uint8Array; copyLimit: number },
): Checkpoint {
  const dict = findStateDict(value, what);
  const budget: CopyBudget = { left: copyLimit };
  const tensors = new Map<string, CheckpointTensor>();
  for (const [name, entry] of dict.entries) {
    if (typeof name !== 'string' || !isKind(entry, 'tensor')) continue;
    const bytes = bytesOf(entry.storage.key);
    tensors.set(name, contiguousTensor(entry, bytes, budget, `${what}: tensor ${quoted(name)}`));
  }
  return { tensors, metadata: {} };
}

/** Which of two sets of weights is meant, only the file's owner knows. */
function findStateDict(value: PickleValue, what: string): PickleDict {
  const entries = isKind(value, 'dict') ? value.entries : new Map<PickleKey, PickleValue>();
  const keys = CONTAINERS.filter((key) => isStateDict(entries.get(key)));
  if (keys.length > 1) {
    throw new AppError(
      'invalid',
      `${what}: has weights under ${keys.join(' and ')}; save those that are meant: torch.save(checkpoint['${keys[0]}'], FILE)`,
    );
  }
  const dict = keys[0] === undefined ? value : entries.get(keys[0]);
  if (isStateDict(dict)) return dict;
  const places = CONTAINERS.join(', ');
  throw new AppError('invalid', `${what}: expected a dictionary of tensors, or one with it under ${places}`);
}

function isStateDict(value: PickleValue | undefined): value is PickleDict {
  return isKind(value, 'dict') && [...value.entries.values()].some((entry) => isKind(entry, 'tensor'));
}

/** Bytes of a storage by what its pickle says. */
export function storageBytes({ count, dtype }: PickledStorage): number {
  return count * ELEMENT_BYTES[dtype];
}
