import Type from 'typebox';
import { parseJson, parserOf } from '../../shared/schema.ts';
import type { Reference } from '../audit/baseline.ts';
import type { Meta } from '../store/database.ts';

/** What confidences of each level are usual, by level; undefined where it is not known. */
export type References = readonly (Reference | undefined)[];

/** Keeps what audits have learnt of one family over restarts. */
export interface ReferenceStore {
  /** What was kept; nothing where it is damaged, or of another family. */
  load(): References;
  /** @throws what the database throws: a full disk */
  save(references: References): void;
}

const KEY = 'audit-references';
/** Families come and go; what is usual of one that is back is learnt again within minutes. */
const MAX_FAMILIES = 4;
const MAX_LEVELS = 256;

const Count = Type.Number({ minimum: 0 });
const ReferenceSchema = Type.Object({
  histogram: Type.Object({
    counts: Type.Array(Count, { minItems: 1, maxItems: 1_024 }),
    total: Count,
    sum: Count,
  }),
  sumSquares: Count,
  sumProducts: Count,
  last: Type.Number({ minimum: 0, maximum: 1 }),
});
/** Newest family first. */
const KeptSchema = Type.Array(
  Type.Object({
    family: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    references: Type.Array(Type.Union([ReferenceSchema, Type.Null()]), { maxItems: MAX_LEVELS }),
  }),
  { maxItems: MAX_FAMILIES },
);

/**
 * Opens the store in the agent's database.
 * @param family SHA-256 of the family's manifest
 */
export function openReferenceStore(meta: Meta, family: string): ReferenceStore {
  const parse = parserOf(KeptSchema);
  const kept = () => {
    const text = meta.get(KEY);
    if (text === undefined) return [];
    try {
      return parseJson(text, parse, KEY);
    } catch {
      // What is damaged is learnt again.
      return [];
    }
  };
  return {
    load: () => {
      const found = kept().find((entry) => entry.family === family);
      return (found?.references ?? []).map((reference) => reference ?? undefined);
    },
    save: (references) => {
      const others = kept().filter((entry) => entry.family !== family);
      const own = { family, references: references.map((reference) => reference ?? null) };
      meta.set(KEY, JSON.stringify([own, ...others].slice(0, MAX_FAMILIES)));
    },
  };
}
