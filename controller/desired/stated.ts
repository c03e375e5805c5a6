import { AppError } from '../../shared/errors.ts';

/** A change of some fields: sets those given, clears those named, leaves the others. */
export interface FieldsPatch<T extends object> {
  readonly set?: Partial<T>;
  readonly clear?: readonly (keyof T & string)[];
}

/**
 * The fields after a change.
 * @throws AppError `usage` when it changes nothing by its words, or sets and clears the same field
 */
export function patchFields<T extends object>(fields: T, { set, clear = [] }: FieldsPatch<T>): T {
  const names = Object.keys(set ?? {});
  if (names.length + clear.length === 0) throw new AppError('usage', 'nothing to set and nothing to clear');
  const both = clear.find((name) => names.includes(name));
  if (both !== undefined) throw new AppError('usage', `${both} is both set and cleared`);
  const next = { ...fields, ...set };
  for (const name of clear) delete next[name];
  return next;
}

/** Whether two flat sets of fields hold the same. */
export function sameFields(a: object, b: object): boolean {
  const sorted = (fields: object) =>
    JSON.stringify(Object.entries(fields).sort(([x], [y]) => (x < y ? -1 : 1)));
  return sorted(a) === sorted(b);
}
