import Type, { type Static } from 'typebox';
import { PrecisionSchema } from '../../shared/family/manifest.ts';
import { type Parser, parserOf } from '../../shared/schema.ts';
import { ArchitectureFileSchema, architectureParser, writtenArchitecture } from '../ofa/architecture.ts';
import type { Candidate } from '../predictor/accuracy-predictor.ts';

/** A point of a front: a sub-network with what the search predicts of it. */
export interface FrontPoint extends Candidate {
  readonly latencyMs: number;
  readonly accuracy: number;
}

/** What a search leaves for whoever builds a family from it. */
export interface FrontFile {
  readonly points: readonly FrontPoint[];
  /** Table, predictor, seed and so on, for people. */
  readonly provenance: Readonly<Record<string, string>>;
}

const FrontSchema = Type.Object({
  format: Type.Literal(1),
  points: Type.Array(
    Type.Object({
      architecture: ArchitectureFileSchema,
      precision: PrecisionSchema,
      latencyMs: Type.Number({ exclusiveMinimum: 0 }),
      accuracy: Type.Number(),
    }),
    { minItems: 1, maxItems: 100_000 },
  ),
  provenance: Type.Record(Type.String(), Type.String()),
});

/** Makes the parser of front files. */
export function frontParser(): Parser<FrontFile> {
  const parse = parserOf(FrontSchema);
  const parseArchitecture = architectureParser();
  return (value, what) => {
    const { points, provenance } = parse(value, what);
    const read = points.map(({ architecture, ...point }, index) => ({
      ...point,
      architecture: parseArchitecture(architecture, `${what}: point ${index}`),
    }));
    return { points: read, provenance };
  };
}

/** A front as it is written. */
export function writtenFront({ points, provenance }: FrontFile): Static<typeof FrontSchema> {
  return {
    format: 1,
    points: points.map(({ architecture, precision, latencyMs, accuracy }) => ({
      architecture: writtenArchitecture(architecture),
      precision,
      latencyMs,
      accuracy,
    })),
    provenance: { ...provenance },
  };
}
