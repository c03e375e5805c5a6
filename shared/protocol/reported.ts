import Type, { type Static } from 'typebox';
import { VersionSchema } from './desired.ts';
import { BootIdSchema, IdSchema } from './ids.ts';
import { RequirementSchema, SettingsSchema } from './requirement.ts';
import { ProcessingElementSchema } from './window.ts';

const Text = Type.String({ maxLength: 1_024 });

/** An operating point as the device has it: what it promises, and what it was measured at. */
export const OperatingPointSchema = Type.Object({
  pe: ProcessingElementSchema,
  level: Type.Integer({ minimum: 0 }),
  accuracy: Type.Number({ minimum: 0, maximum: 1 }),
  /** Median latency measured on this device, milliseconds. */
  latencyMs: Type.Number({ minimum: 0 }),
});

/** What an agent has applied, and what it refused and why. Retained. */
export const ReportedSchema = Type.Object({
  v: Type.Literal(1),
  bootId: BootIdSchema,
  software: Type.Object({ agent: Text, node: Text, onnxruntime: Text }),
  hardware: Type.Object({
    model: Text,
    arch: Text,
    cpus: Type.Integer({ minimum: 1 }),
    memoryBytes: Type.Number({ minimum: 0 }),
  }),
  family: Type.Object({ name: Text, version: Type.Integer({ minimum: 1 }), sha256: Text }),
  operatingPoints: Type.Array(OperatingPointSchema, { maxItems: 256 }),
  /** The versions of desired documents that this report answers. */
  applied: Type.Object({
    fleet: Type.Optional(VersionSchema),
    device: Type.Optional(VersionSchema),
    groups: Type.Record(IdSchema, VersionSchema),
  }),
  requirement: RequirementSchema,
  settings: SettingsSchema,
  /** Which scope each field of `requirement` and `settings` came from. */
  sources: Type.Record(Type.String(), Text),
  /** Fields of desired documents, or families, that were not applied, and why. */
  refused: Type.Array(Type.Object({ scope: Text, field: Text, reason: Text }), { maxItems: 64 }),
  /** Messages that were dropped, by reason, since the boot. */
  rejected: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
});
export type Reported = Static<typeof ReportedSchema>;
