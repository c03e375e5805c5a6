import { AppError } from '../../shared/errors.ts';
import { type Checkpoint, type CheckpointTensor, ELEMENT_BYTES, quoted } from '../ofa/checkpoint.ts';
import { isKind, type PickleDict, type PickledStorage, type PickleValue } from './pickle-values.ts';
import { type CopyBudget, contiguousTensor } from './strided.ts';

/** Under which keys training programs keep the weights, beside epochs and optimizers. */
const CONTAINERS = ['state_dict', 'model_state_dict', 'model'];

/**
 * The tensors of an unpickled checkpoint: it is a state dict or has one as `state_dict`,
 * `model_state_dict` or `model`. What else is beside the tensors is left out.
 * @param bytesOf finds a storage's bytes
 * @param copyLimit how many bytes of tensors that are not contiguous may be copied
 * @throws AppError `invalid` if there are no tensors or one does not fit its storage
 */
export function stateDictOf(
  value: PickleValue,
  { what, bytesOf, copyLimit }: { what: string; bytesOf: (key: string) => Uint8Array; copyLimit: number },
): Checkpoint {
  const dict = findStateDict(value);
  if (dict === undefined) {
    const places = CONTAINERS.join(', ');
    throw new AppError(
      'invalid',
      `${what}: expected a dictionary of tensors, or one with it under ${places}`,
    );
  }
  const budget: CopyBudget = { left: copyLimit };
  const tensors = new Map<string, CheckpointTensor>();
  for (const [name, entry] of dict.entries) {
    if (typeof name !== 'string' || !isKind(entry, 'tensor')) continue;
    const bytes = bytesOf(entry.storage.key);
    tensors.set(name, contiguousTensor(entry, bytes, budget, `${what}: tensor ${quoted(name)}`));
  }
  return { tensors, metadata: {} };
}

function findStateDict(value: PickleValue): PickleDict | undefined {
  if (!isKind(value, 'dict')) return undefined;
  return [...CONTAINERS.map((key) => value.entries.get(key)), value].find(
    (found): found is PickleDict => isKind(found, 'dict') && hasTensors(found),
  );
}

function hasTensors({ entries }: PickleDict): boolean {
  return [...entries.values()].some((entry) => isKind(entry, 'tensor'));
}

/** Bytes of a storage by what its pickle says. */
export function storageBytes({ count, dtype }: PickledStorage): number {
  return count * ELEMENT_BYTES[dtype];
}
