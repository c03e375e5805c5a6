import { parseChoice, parseDurationMs, parseFraction } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { isId } from '../../shared/protocol/ids.ts';
import { LOG_LEVELS, type Requirement, type Settings } from '../../shared/protocol/requirement.ts';
import { type RequirementField, refusalOf } from '../../shared/protocol/requirement-rules.ts';
import { formatSelector, isLabel, parseSelector } from '../../shared/selector.ts';
import { parseQuantity } from '../../shared/units.ts';
import type { Scope } from '../api/schemas.ts';

/** The options that name devices. */
export interface TargetOptions {
  readonly device?: string;
  readonly group?: string;
  readonly selector?: string;
}

/** At most one of the three; none is the whole fleet. */
export type Target = { device: string } | { group: string } | { selector: string } | Record<string, never>;

/**
 * Which devices are meant.
 * @throws AppError `usage` for more than one option, or one that cannot name anything
 */
export function parseTarget({ device, group, selector }: TargetOptions): Target {
  if ([device, group, selector].filter((option) => option !== undefined).length > 1) {
    throw new AppError('usage', 'give only one of --device, --group and --selector');
  }
  if (device !== undefined) return { device: parseId(device, '--device') };
  if (group !== undefined) return { group: parseId(group, '--group') };
  return selector === undefined ? {} : { selector: formatSelector(parseSelector(selector)) };
}

/** The same as a scope, where something is to be stated. */
export function scopeOf(target: Target): Scope {
  if ('device' in target) return { kind: 'device', device: target['device'] ?? '' };
  if ('group' in target) return { kind: 'group', name: target['group'] ?? '' };
  return 'selector' in target ? { kind: 'selector', selector: target['selector'] ?? '' } : { kind: 'fleet' };
}

/** @throws AppError `usage` when `text` cannot be the id of a device or a group */
export function parseId(text: string, what: string): string {
  if (isId(text)) return text;
  throw new AppError(
    'usage',
    `${what}: '${text}' is not an id; ids are of a-z, 0-9 and -, at most 63 of them`,
  );
}

/** The budget's fields as options and words name them. */
export const BUDGET_FIELDS = {
  latency: 'latencyMs',
  'miss-share': 'missShare',
  'accuracy-floor': 'accuracyFloor',
  power: 'powerW',
  energy: 'energyJ',
  temp: 'tempC',
  price: 'price',
  priority: 'priority',
} as const satisfies Record<string, RequirementField>;

/** The settings' fields as words name them. */
export const SETTING_FIELDS = {
  window: 'windowMs',
  'frame-rate': 'frameRate',
  'log-level': 'logLevel',
} as const satisfies Record<string, keyof Settings>;

/**
 * Names of fields as the API knows them; no name means all.
 * @throws AppError `usage` naming the word that is none
 */
export function parseFields<F extends string>(
  names: readonly string[],
  fields: Readonly<Record<string, F>>,
): F[] {
  const known = Object.keys(fields);
  const chosen = names.length === 0 ? known : names;
  return [...new Set(chosen)].map((name) => {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field !== undefined) return field;
    throw new AppError('usage', `'${name}' is not one of ${known.join(', ')}`);
  });
}

/** The options of `budget set`. */
export interface BudgetOptions {
  readonly latency?: string;
  readonly missShare?: string;
  readonly accuracyFloor?: string;
  readonly power?: string;
  readonly energy?: string;
  readonly temp?: string;
  readonly price?: string;
  readonly priority?: string;
}

/**
 * The requirement that options state.
 * @throws AppError `usage` when there is none, or a value is wrong or impossible
 */
export function parseBudget(options: BudgetOptions): Requirement {
  const requirement: Requirement = {
    ...timesOf(options),
    ...energiesOf(options),
    ...(options.priority !== undefined && { priority: options.priority }),
  };
  for (const [name, field] of Object.entries(BUDGET_FIELDS)) {
    const value = requirement[field];
    const refusal = value === undefined ? undefined : refusalOf(field, value, `--${name}`);
    if (refusal !== undefined) throw new AppError('usage', refusal);
  }
  if (Object.keys(requirement).length > 0) return requirement;
  const names = Object.keys(BUDGET_FIELDS).map((name) => `--${name}`);
  throw new AppError('usage', `give at least one of ${names.join(', ')}`);
}

function timesOf({ latency, missShare, accuracyFloor }: BudgetOptions): Requirement {
  return {
    ...(latency !== undefined && { latencyMs: parseDurationMs(latency, '--latency') }),
    ...(missShare !== undefined && { missShare: parseFraction(missShare, '--miss-share') }),
    ...(accuracyFloor !== undefined && { accuracyFloor: parseFraction(accuracyFloor, '--accuracy-floor') }),
  };
}

function energiesOf({ power, energy, temp, price }: BudgetOptions): Requirement {
  return {
    ...(power !== undefined && { powerW: parseQuantity(power, 'power', '--power') }),
    ...(energy !== undefined && { energyJ: parseQuantity(energy, 'energy', '--energy') }),
    ...(temp !== undefined && { tempC: parseQuantity(temp, 'temperature', '--temp') }),
    ...(price !== undefined && { price: parsePrice(price) }),
  };
}

/** A price has no unit: accuracy per joule, as a plain number. */
function parsePrice(text: string): number {
  const price = /^\d*\.?\d+(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (Number.isFinite(price)) return price;
  throw new AppError(
    'usage',
    `--price: '${text}' is not a number, zero or above; it is accuracy per joule, for example 0.02`,
  );
}

/**
 * Splits `name=value` words and others, as `devices config set` takes them.
 * @throws AppError `usage` for a name that is no setting, a wrong value, or when nothing is to be set
 */
export function parseSettingWords(words: readonly string[]): { settings: Settings; devices: string[] } {
  let settings: Settings = {};
  const devices: string[] = [];
  for (const word of words) {
    const at = word.indexOf('=');
    if (at < 0) devices.push(parseId(word, 'DEVICE'));
    else settings = { ...settings, ...parseSetting(word.slice(0, at), word.slice(at + 1)) };
  }
  if (Object.keys(settings).length > 0) return { settings, devices };
  throw new AppError(
    'usage',
    'give at least one setting, for example window=30s, frame-rate=20fps or log-level=debug',
  );
}

function parseSetting(name: string, value: string): Settings {
  const [field] = parseFields([name], SETTING_FIELDS);
  switch (field) {
    case 'windowMs':
      return { windowMs: Math.round(parseDurationMs(value, name)) };
    case 'frameRate':
      return { frameRate: parseQuantity(value, 'frequency', name) };
    default:
      return { logLevel: parseChoice(value, LOG_LEVELS, name) };
  }
}

/** Labels to set and to remove. */
export interface LabelChange {
  readonly set: Record<string, string>;
  readonly remove: string[];
}

/**
 * Reads `key=value` and `key-` words.
 * @throws AppError `usage` for anything else
 */
export function parseLabelWords(words: readonly string[]): LabelChange {
  const change: LabelChange = { set: {}, remove: [] };
  for (const word of words) {
    const at = word.indexOf('=');
    const [key, value] = at < 0 ? [word.replace(/-$/, ''), 'x'] : [word.slice(0, at), word.slice(at + 1)];
    if (!isLabel(key, value) || (at < 0 && !word.endsWith('-'))) {
      throw new AppError('usage', `'${word}' is not a label; write key=value to set one, key- to remove one`);
    }
    if (at < 0) change.remove.push(key);
    else change.set[key] = value;
  }
  return change;
}
