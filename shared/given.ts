/** Only the fields that have a value: one that is left out is not the same as one that is zero. */
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const found: { [K in keyof T]?: Exclude<T[K], undefined> } = {};
  for (const key in fields) {
    if (fields[key] !== undefined) found[key] = fields[key] as Exclude<T[typeof key], undefined>;
  }
  return found;
}
