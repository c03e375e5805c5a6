import { LIMITS, REQUIREMENT_FIELDS, type Requirement } from './requirement.ts';

/** A field that a requirement may state. */
export type RequirementField = keyof Requirement;
export const REQUIREMENT_FIELD_NAMES = Object.keys(REQUIREMENT_FIELDS) as RequirementField[];

type NumberField = Exclude<RequirementField, 'priority'>;

interface Bounds {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

const MAX_SHOWN_CHARACTERS = 80;

/** Whether a word names a field of a requirement. */
export function isRequirementField(name: string): name is RequirementField {
  return Object.hasOwn(REQUIREMENT_FIELDS, name);
}

/**
 * What is wrong with the value of one field, in words for people; undefined when it can be stated. It takes
 * exactly what the field's schema takes, needs no compiled schema, and is used at every edge where a
 * requirement comes in, so that all of them say the same.
 * @param what names the value, where it has another name than the field
 */
export function refusalOf(field: RequirementField, value: unknown, what: string = field): string | undefined {
  const why = field === 'priority' ? faultOfPriority(value) : faultOfNumber(field, value);
  return why === undefined ? undefined : `${what}: ${why}`;
}

function faultOfNumber(field: NumberField, value: unknown): string | undefined {
  const schema: object = REQUIREMENT_FIELDS[field];
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Bounds = schema;
  const rules = [
    { bound: minimum, text: 'at least', holds: (given: number, bound: number) => given >= bound },
    { bound: exclusiveMinimum, text: 'above', holds: (given: number, bound: number) => given > bound },
    { bound: maximum, text: 'at most', holds: (given: number, bound: number) => given <= bound },
    { bound: exclusiveMaximum, text: 'below', holds: (given: number, bound: number) => given < bound },
  ].flatMap(({ bound, ...rule }) => (bound === undefined ? [] : [{ bound, ...rule }]));
  const isFine = Number.isFinite(value) && rules.every(({ bound, holds }) => holds(Number(value), bound));
  if (isFine) return undefined;
  return `${shown(value)} is not a number ${rules.map(({ text, bound }) => `${text} ${bound}`).join(' and ')}`;
}

function faultOfPriority(value: unknown): string | undefined {
  if (typeof value !== 'string') return `${shown(value)} is not text`;
  const words = value.split(',');
  const stranger = words.find((word) => !LIMITS.some((limit) => limit === word));
  if (stranger !== undefined) {
    return `'${shown(stranger)}' is not a limit; name ${LIMITS.join(', ')}, with commas between them`;
  }
  const twice = words.find((word, index) => words.indexOf(word) !== index);
  return twice === undefined ? undefined : `'${shown(value)}' names ${twice} twice`;
}

/** A value from outside, short: it may be anything, and of any length. */
function shown(value: unknown): string {
  if (typeof value === 'number') return String(value);
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}...` : text;
}
