import type { ElementType } from '../ofa/checkpoint.ts';

/** A key of a Python dictionary. */
export type PickleKey = string | number | bigint | boolean | null;

/** What a checkpoint's pickle may hold: plain data, and tensors with their storages. */
export type PickleValue =
  | PickleKey
  | Uint8Array
  | PickleList
  | PickleTuple
  | PickleDict
  | PickleGlobal
  | PickledStorage
  | PickledTensor;

export interface PickleList {
  readonly kind: 'list';
  readonly items: PickleValue[];
}

export interface PickleTuple {
  readonly kind: 'tuple';
  readonly items: readonly PickleValue[];
}

export interface PickleDict {
  readonly kind: 'dict';
  /** Whether it is an `OrderedDict`, which may have attributes. */
  readonly ordered: boolean;
  readonly entries: Map<PickleKey, PickleValue>;
}

/** One of the classes and functions that are allowed, by its full name; it is never run. */
export interface PickleGlobal {
  readonly kind: 'global';
  readonly name: string;
}

/** Memory that tensors lie in; its bytes are elsewhere in the file. */
export interface PickledStorage {
  readonly kind: 'storage';
  readonly key: string;
  readonly dtype: ElementType;
  /** Number of elements. */
  readonly count: number;
}

/** A view of a storage; offset and strides count elements. Not yet checked against the storage. */
export interface PickledTensor {
  readonly kind: 'tensor';
  readonly storage: PickledStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

type Tagged = Extract<PickleValue, { readonly kind: string }>;

/** Whether a value is of one of the kinds that are not plain numbers, strings and the like. */
export function isKind<K extends Tagged['kind']>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleValue, { readonly kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}
