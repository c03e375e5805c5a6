import type { TSchema } from 'typebox';
import { AppError } from '../../shared/errors.ts';
import type { Desired, DeviceDesired, Membership, Version } from '../../shared/protocol/desired.ts';
import { type Requirement, SETTINGS_FIELDS, type Settings } from '../../shared/protocol/requirement.ts';
import { isRequirementField, refusalOf } from '../../shared/protocol/requirement-rules.ts';
import { type Parser, parserOf } from '../../shared/schema.ts';

/** The newest desired documents that this device follows. */
export interface DesiredDocuments {
  readonly fleet?: Desired;
  readonly device?: DeviceDesired;
  readonly groups: ReadonlyMap<string, Desired>;
}

export interface Refusal {
  readonly scope: string;
  readonly field: string;
  readonly reason: string;
}

/** What is in force, and where each part of it comes from. */
export interface Resolved {
  readonly requirement: Requirement;
  readonly settings: Settings;
  /** Scope of every field: `device`, `group NAME`, `fleet` or `configuration`. */
  readonly sources: Readonly<Record<string, string>>;
  readonly refused: readonly Refusal[];
  readonly applied: {
    readonly fleet?: Version;
    readonly device?: Version;
    readonly groups: Record<string, Version>;
  };
}

export interface Defaults {
  readonly requirement: Requirement;
  readonly settings: Settings;
}

interface Layer {
  readonly scope: string;
  readonly requirement: Readonly<Record<string, unknown>>;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What `reported` has room for. */
export const MAX_REFUSALS = 64;
const MAX_FIELD_CHARACTERS = 200;
const MAX_REASON_CHARACTERS = 1_000;

const UNKNOWN_FIELD = 'this version of the agent does not know the field';

/** Why a field is not taken; undefined when it is. */
type FieldCheck = (field: string, value: unknown) => string | undefined;

const checkRequirement: FieldCheck = (field, value) =>
  isRequirementField(field) ? refusalOf(field, value) : UNKNOWN_FIELD;

function checkOf(fields: Readonly<Record<string, TSchema>>): FieldCheck {
  const parsers = new Map(Object.entries(fields).map(([name, schema]) => [name, parserOf(schema)]));
  return (field, value) => {
    const parse = parsers.get(field);
    return parse === undefined ? UNKNOWN_FIELD : refusalBy(parse, field, value);
  };
}

function refusalBy(parse: Parser<unknown>, field: string, value: unknown): string | undefined {
  try {
    parse(value, field);
    return undefined;
  } catch (error) {
    if (error instanceof AppError) return error.message.slice(0, MAX_REASON_CHARACTERS);
    throw error;
  }
}

/** Groups by priority, highest first, then by name. */
export function inOrder(groups: readonly Membership[]): Membership[] {
  return groups.toSorted((a, b) => b.priority - a.priority || a.name.localeCompare(b.name, 'en'));
}

/** Most specific first: device > groups > fleet > the agent's own configuration. */
function layersOf(documents: DesiredDocuments, defaults: Defaults): Layer[] {
  const layer = (scope: string, document: Desired | undefined): Layer => ({
    scope,
    requirement: document?.requirement ?? {},
    settings: document?.settings ?? {},
  });
  return [
    layer('device', documents.device),
    ...inOrder(documents.device?.groups ?? []).map(({ name }) =>
      layer(`group ${name}`, documents.groups.get(name)),
    ),
    layer('fleet', documents.fleet),
    { scope: 'configuration', ...defaults },
  ];
}

/** Makes the function that resolves documents into what is in force; pure, with its parsers compiled once. */
export function createResolver(): (documents: DesiredDocuments, defaults: Defaults) => Resolved {
  const checkSettings = checkOf(SETTINGS_FIELDS);
  return (documents, defaults) => {
    const layers = layersOf(documents, defaults);
    const requirement = pick(layers, 'requirement', checkRequirement);
    const settings = pick(layers, 'settings', checkSettings);
    return {
      requirement: requirement.chosen,
      settings: settings.chosen,
      sources: { ...requirement.sources, ...settings.sources },
      refused: [...requirement.refused, ...settings.refused].slice(0, MAX_REFUSALS),
      applied: versionsOf(documents),
    };
  };
}

interface Picked {
  readonly chosen: Record<string, unknown>;
  readonly sources: Record<string, string>;
  readonly refused: Refusal[];
}

/** Takes each field from the first layer that states it rightly. */
function pick(layers: readonly Layer[], part: 'requirement' | 'settings', check: FieldCheck): Picked {
  const picked: Picked = { chosen: {}, sources: {}, refused: [] };
  const stated = layers.flatMap((layer) =>
    Object.entries(layer[part]).map(([field, value]) => ({ scope: layer.scope, field, value })),
  );
  for (const { scope, field, value } of stated) {
    const reason = check(field, value);
    if (reason !== undefined)
      picked.refused.push({ scope, field: field.slice(0, MAX_FIELD_CHARACTERS), reason });
    else if (!Object.hasOwn(picked.chosen, field)) {
      picked.chosen[field] = value;
      picked.sources[field] = scope;
    }
  }
  return picked;
}

function versionsOf({ fleet, device, groups }: DesiredDocuments): Resolved['applied'] {
  const names = new Set(device?.groups?.map(({ name }) => name));
  const followed = [...groups].filter(([name]) => names.has(name));
  return {
    ...(fleet === undefined ? {} : { fleet: fleet.version }),
    ...(device === undefined ? {} : { device: device.version }),
    groups: Object.fromEntries(followed.map(([name, document]) => [name, document.version])),
  };
}
