import Type, { type Static } from 'typebox';
import { LIMITS, RequirementSchema } from './requirement.ts';
import { ProcessingElementSchema } from './window.ts';

const Milliseconds = Type.Number({ minimum: 0 });
const Probability = Type.Number({ minimum: 0, maximum: 1 });
/** Names of policies' causes and exclusions are theirs; they are shown, not interpreted. */
const Word = Type.String({ maxLength: 32 });

/** Candidates of one decision that are told; a family has far fewer operating points. */
export const MAX_CANDIDATES = 64;
/** Decisions of one explanation. */
export const MAX_EXPLAINED = 200;

const PointSchema = Type.Object({ pe: ProcessingElementSchema, level: Type.Integer({ minimum: 0 }) });
export type PointName = Static<typeof PointSchema>;

/** What was expected of one operating point. Values that are not finite are left out. */
export const ExplainedCandidateSchema = Type.Object({
  ...PointSchema.properties,
  accuracy: Type.Number({ minimum: 0, maximum: 1 }),
  /** Latency at the asked share of misses. */
  predictedMs: Type.Optional(Milliseconds),
  missProbability: Type.Optional(Probability),
  energyJ: Type.Optional(Type.Number({ minimum: 0 })),
  /** What the policy maximises. */
  value: Type.Optional(Type.Number()),
  /** The limit that keeps it out, or `unusable`. */
  excludedBy: Type.Optional(Word),
});
export type ExplainedCandidate = Static<typeof ExplainedCandidateSchema>;

/** One decision that is worth a word, with what was expected and what came of it. */
export const ExplainedDecisionSchema = Type.Object({
  kind: Type.Union([Type.Literal('switch'), Type.Literal('violation'), Type.Literal('shed')]),
  ts: Type.Number({ minimum: 0 }),
  /** `violation`: which limit, and whether it begins or ends. */
  limit: Type.Optional(Type.Enum([...LIMITS])),
  state: Type.Optional(Type.Union([Type.Literal('begins'), Type.Literal('ends')])),
  from: Type.Optional(PointSchema),
  /** The chosen point; absent when the frame was shed. */
  to: Type.Optional(PointSchema),
  cause: Word,
  predictedMs: Type.Optional(Milliseconds),
  missProbability: Type.Optional(Probability),
  /** Until the deadline at the decision; absent without a latency budget. */
  timeLeftMs: Type.Optional(Type.Number()),
  /** Limits that no point meets together with those of higher priority. */
  gaveWay: Type.Array(Type.Enum([...LIMITS]), { maxItems: LIMITS.length }),
  requirement: RequirementSchema,
  candidates: Type.Array(ExplainedCandidateSchema, { maxItems: MAX_CANDIDATES }),
  /** Candidates beyond those that are told. */
  moreCandidates: Type.Optional(Type.Integer({ minimum: 1 })),
  outcome: Type.Optional(Type.Object({ latencyMs: Milliseconds, missed: Type.Boolean() })),
});
export type ExplainedDecision = Static<typeof ExplainedDecisionSchema>;

/** Inferences of a short time, in a line. */
export const InferenceSummarySchema = Type.Object({
  since: Type.Number(),
  until: Type.Number(),
  inferences: Type.Integer({ minimum: 0 }),
  misses: Type.Integer({ minimum: 0 }),
  latencyMeanMs: Type.Optional(Milliseconds),
  latencyMaxMs: Type.Optional(Milliseconds),
});
export type InferenceSummary = Static<typeof InferenceSummarySchema>;

/** What a device can tell of its decisions, oldest first. */
export const ExplanationSchema = Type.Object({
  /** Its wall clock now, milliseconds since the epoch. */
  ts: Type.Number({ minimum: 0 }),
  /** The time that was asked for. */
  at: Type.Optional(Type.Number({ minimum: 0 })),
  /** The oldest decision that it still knows; absent when it knows none. */
  oldestTs: Type.Optional(Type.Number({ minimum: 0 })),
  decisions: Type.Array(ExplainedDecisionSchema, { maxItems: MAX_EXPLAINED }),
  /** What was measured around the time that was asked for. */
  around: Type.Optional(InferenceSummarySchema),
  /** Decisions that were asked for and left out, so that the answer fits a message. */
  leftOut: Type.Optional(Type.Integer({ minimum: 1 })),
});
export type Explanation = Static<typeof ExplanationSchema>;
