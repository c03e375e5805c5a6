import Type, { type Static } from 'typebox';
import { envelopeOf } from './envelope.ts';
import { BootIdSchema } from './ids.ts';
import { ProcessingElementSchema } from './window.ts';

const Seq = Type.Integer({ minimum: 0 });
const Text = Type.String({ maxLength: 1_024 });
const PointSchema = Type.Object({ pe: ProcessingElementSchema, level: Type.Integer({ minimum: 0 }) });

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
});

/** A limit that cannot be met by any operating point, from now on, or that can be met again. */
const ViolationEvent = Type.Object({
  kind: Type.Literal('violation'),
  limit: Type.Union([Type.Literal('latency'), Type.Literal('accuracy')]),
  state: Type.Union([Type.Literal('begins'), Type.Literal('ends')]),
  reason: Text,
});

/** Something of the device does not work as it should. */
const FaultEvent = Type.Object({ kind: Type.Literal('fault'), what: Text, reason: Text });

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

export const EventSchema = Type.Union([BootEvent, SwitchEvent, ViolationEvent, FaultEvent, GapEvent]);
export type EventBody = Static<typeof EventSchema>;
export const EVENT_KINDS = [
  'boot',
  'switch',
  'violation',
  'fault',
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
