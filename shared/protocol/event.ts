import Type, { type Static } from 'typebox';
import { envelopeOf } from './envelope.ts';
import { BootIdSchema, IdSchema } from './ids.ts';
import { INSTALL_STATES, INSTALL_STEPS, ReleaseKindSchema } from './release.ts';
import { LIMITS } from './requirement.ts';
import { ProcessingElementSchema } from './window.ts';

const Seq = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Text = Type.String({ maxLength: 1_024 });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Level = Type.Integer({ minimum: 0 });
const PointSchema = Type.Object({ pe: ProcessingElementSchema, level: Level });
/** Something that lasts: from now on, or no more. */
const SpellSchema = Type.Union([Type.Literal('begins'), Type.Literal('ends')]);

/** What the runtime manager expected when it decided; left out where it did not say, or said infinity. */
const Expected = {
  /** Why it decided so, as a word of the policy in force, for machines. */
  cause: Type.Optional(Type.String({ maxLength: 32 })),
  /** Latency of the chosen operating point at the asked share of misses, milliseconds. */
  predictedMs: Type.Optional(Type.Number({ minimum: 0 })),
  /** Probability that the inference ends too late, 0..1. */
  missProbability: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  /** Latency as a multiple of the profile. */
  slowdown: Type.Optional(Type.Number({ minimum: 0 })),
} as const;

/** First message of a boot: names the boot before it and its last sequence number, so that a lost tail is a counted gap. */
const BootEvent = Type.Object({
  kind: Type.Literal('boot'),
  version: Type.String({ maxLength: 64 }),
  previous: Type.Optional(Type.Object({ bootId: BootIdSchema, lastSeq: Seq })),
});

/** The first inference on another operating point has been made. */
const SwitchEvent = Type.Object({
  kind: Type.Literal('switch'),
  from: PointSchema,
  to: PointSchema,
  /** Why, for people: which limit bound, what was predicted. */
  reason: Text,
  /** Switches since the last switch event that were not reported one by one. */
  unreported: Type.Integer({ minimum: 0 }),
  ...Expected,
});

/** A limit that cannot be met by any operating point, from now on, or that can be met again. */
const ViolationEvent = Type.Object({
  kind: Type.Literal('violation'),
  limit: Type.Enum([...LIMITS]),
  state: SpellSchema,
  reason: Text,
  /** Violation events since the last one that were not reported one by one. */
  unreported: Type.Optional(Count),
  ...Expected,
});

/** Frames that were given up because not even the fastest operating point would have been in time. */
const ShedEvent = Type.Object({
  kind: Type.Literal('shed'),
  /** How many since the last shed event, this one among them; the sum over all events is exact. */
  frames: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  reason: Text,
  /** What was left of the newest frame's time, milliseconds. */
  timeLeftMs: Type.Optional(Type.Number()),
  ...Expected,
});

/** A level does not do as it did when it was measured: in accuracy, by audits, or in latency, by its profile. */
const DriftEvent = Type.Object({
  kind: Type.Literal('drift'),
  state: SpellSchema,
  /** On which processing element, where it is not all of them. */
  pe: Type.Optional(ProcessingElementSchema),
  level: Level,
  reason: Text,
});

/** An operating point is kept out of service because it crashed, hung or cannot be loaded; or it is let in again. */
const QuarantineEvent = Type.Object({
  kind: Type.Literal('quarantine'),
  state: SpellSchema,
  pe: ProcessingElementSchema,
  level: Level,
  reason: Text,
});

/** The device slows itself down, for example because it is hot or short of power; or it does no more. */
const ThrottleEvent = Type.Object({ kind: Type.Literal('throttle'), state: SpellSchema, reason: Text });

/** Something of the device does not work as it should. */
const FaultEvent = Type.Object({ kind: Type.Literal('fault'), what: Text, reason: Text });

/** A step of an install has been reached, or it ended. */
const InstallEvent = Type.Object({
  kind: Type.Literal('install'),
  what: ReleaseKindSchema,
  rollout: IdSchema,
  deed: Type.Union([Type.Literal('install'), Type.Literal('revert')]),
  name: IdSchema,
  version: Type.Integer({ minimum: 1 }),
  state: Type.Enum([...INSTALL_STATES]),
  step: Type.Enum([...INSTALL_STEPS]),
  reason: Type.Optional(Text),
});

/** Records `from..to` of a boot were dropped and will never arrive. */
const GapEvent = Type.Object({
  kind: Type.Literal('gap'),
  bootId: BootIdSchema,
  from: Seq,
  to: Seq,
  /** How many records of the range were dropped. */
  records: Type.Integer({ minimum: 1 }),
  reason: Text,
});

export const EventSchema = Type.Union([
  BootEvent,
  SwitchEvent,
  ViolationEvent,
  ShedEvent,
  DriftEvent,
  QuarantineEvent,
  ThrottleEvent,
  FaultEvent,
  InstallEvent,
  GapEvent,
]);
export type EventBody = Static<typeof EventSchema>;
export const EVENT_KINDS = [
  'boot',
  'switch',
  'violation',
  'shed',
  'drift',
  'quarantine',
  'throttle',
  'fault',
  'install',
  'gap',
] as const satisfies EventBody['kind'][];

export const EventEnvelopeSchema = envelopeOf(EventSchema);
export type EventEnvelope = Static<typeof EventEnvelopeSchema>;

/** Closed range of sequence numbers. */
export const SeqRangeSchema = Type.Tuple([Seq, Seq]);
export type SeqRange = Static<typeof SeqRangeSchema>;

/** Exactly these records are committed to the history; only now may the outbox forget them. */
export const AckSchema = Type.Object({
  bootId: BootIdSchema,
  ranges: Type.Array(SeqRangeSchema, { maxItems: 10_000 }),
});
export type Ack = Static<typeof AckSchema>;
