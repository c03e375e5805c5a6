import Type, { type Static } from 'typebox';
import { VersionSchema } from './desired.ts';
import { BootIdSchema, IdSchema } from './ids.ts';
import { InstallReportSchema } from './release.ts';
import { RequirementSchema, SettingsSchema } from './requirement.ts';
import { ProcessingElementSchema } from './window.ts';

const Text = Type.String({ maxLength: 1_024 });
/** There may be hundreds of operating points, and a report is one message. */
const ShortText = Type.String({ maxLength: 200 });

/** How an energy is known. `unknown` is not zero. */
export const ENERGY_QUALITIES = ['measured', 'modelled', 'unknown'] as const;
export type EnergyQuality = (typeof ENERGY_QUALITIES)[number];

/** An operating point as the device has it: what it promises, and what it was measured at. */
export const OperatingPointSchema = Type.Object({
  pe: ProcessingElementSchema,
  level: Type.Integer({ minimum: 0 }),
  accuracy: Type.Number({ minimum: 0, maximum: 1 }),
  /** Median latency measured on this device, milliseconds. */
  latencyMs: Type.Number({ minimum: 0 }),
  /** Energy of one inference above idle, joules; absent where nothing is known. */
  energyJ: Type.Optional(Type.Number({ minimum: 0 })),
  energyQuality: Type.Optional(Type.Enum([...ENERGY_QUALITIES])),
  /** Threads of one inference. */
  threads: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Whether it can be chosen now: it is loaded and not in quarantine. */
  usable: Type.Optional(Type.Boolean()),
  /** Why it is kept out of service. */
  quarantined: Type.Optional(ShortText),
});
export type ReportedPoint = Static<typeof OperatingPointSchema>;

/** One sensor of the device, and whether the manager goes by it. */
export const SensorHealthSchema = Type.Object({
  name: Type.String({ maxLength: 128 }),
  /** `ok`, or in a word what is wrong with it. */
  state: Type.String({ maxLength: 32 }),
  reason: Type.Optional(ShortText),
});
export type SensorHealth = Static<typeof SensorHealthSchema>;

/** Where the figures of the operating points come from. */
export const ProfileInfoSchema = Type.Object({
  /** Measured in this boot, kept from an earlier one, or being measured now. */
  state: Type.Union([Type.Literal('measured'), Type.Literal('kept'), Type.Literal('measuring')]),
  /** When it was measured, milliseconds since the epoch. */
  ts: Type.Optional(Type.Number({ minimum: 0 })),
  /** Power mode, clocks and provider that it was measured under: it holds for no others. */
  key: Type.Optional(Type.Record(Type.String({ maxLength: 32 }), ShortText)),
  /** Why it no longer fits, when it does not. */
  stale: Type.Optional(ShortText),
});
export type ProfileInfo = Static<typeof ProfileInfoSchema>;
/** Sensors that a report has room for. */
export const MAX_SENSORS = 64;

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
  /** Name of the policy that chooses among them. */
  policy: Type.Optional(ShortText),
  profile: Type.Optional(ProfileInfoSchema),
  sensors: Type.Optional(Type.Array(SensorHealthSchema, { maxItems: MAX_SENSORS })),
  /** How far it is with the newest order of each kind, or how that ended. */
  install: Type.Optional(
    Type.Object({
      family: Type.Optional(InstallReportSchema),
      program: Type.Optional(InstallReportSchema),
    }),
  ),
  /** Version of the keyring that signatures are checked by; absent where none is trusted yet. */
  keyring: Type.Optional(Type.Integer({ minimum: 1 })),
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
