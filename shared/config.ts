import { readFileSync } from 'node:fs';
import convict from 'convict';
import { parse as parseYaml } from 'yaml';
import { AppError, describeError } from './errors.ts';
import { type Dimension, parseQuantity } from './units.ts';

/** Schema of a program's configuration: convict's, with formats named after what they hold. */
export type ConfigSchema<T> = convict.Schema<T>;

/** One value of a schema, as the command line and the documentation show it. */
export interface ConfigEntry {
  /** Dotted place in the file. */
  readonly path: string;
  /** Flag without dashes; undefined when it cannot be given as an argument (secrets). */
  readonly flag: string | undefined;
  readonly env: string | undefined;
  readonly doc: string;
}

export interface ConfigSources {
  /** JSON or YAML. */
  readonly file?: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Values of flags, by the dotted place that they set. */
  readonly flags: Readonly<Record<string, string>>;
}

export interface LoadedConfig<T> {
  readonly values: T;
  /** The whole configuration as JSON, secrets masked. */
  print(): string;
}

const QUANTITIES: readonly Dimension[] = [
  'duration',
  'power',
  'energy',
  'frequency',
  'fraction',
  'temperature',
  'size',
];

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Quantities are written with their unit (`30s`) and held in the base unit (30000). */
function addFormats(): void {
  for (const dimension of QUANTITIES) {
    convict.addFormat({
      name: dimension,
      validate: (value: unknown) => {
        if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
          throw new Error(`must be a ${dimension} that is not negative`);
        }
      },
      coerce: (value: unknown) =>
        typeof value === 'string' ? parseQuantity(value, dimension, dimension) : value,
    });
  }
  convict.addFormat({
    name: 'decimal',
    validate: (value: unknown) => {
      if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error('must be a number');
    },
    // Stricter than the library's own number, which takes `12 apples` for 12.
    coerce: (value: unknown) =>
      typeof value === 'string' && DECIMAL.test(value.trim()) ? Number(value) : value,
  });
  convict.addFormat({
    name: 'text',
    validate: (value: unknown) => {
      if (typeof value !== 'string') throw new Error('must be text');
    },
    coerce: (value: unknown) => value,
  });
  addListFormats();
  convict.addParser({ extension: ['yaml', 'yml'], parse: parseYaml });
}

/** Lists are written with commas between their items, or as lists in a file. */
function addListFormats(): void {
  const listOf = (fits: (item: unknown) => boolean, items: string) => (value: unknown) => {
    const list: readonly unknown[] = Array.isArray(value) ? value : [];
    if (list.length === 0 || !list.every(fits)) throw new Error(`must be ${items}, with commas between them`);
  };
  convict.addFormat({
    name: 'words',
    validate: listOf((word) => typeof word === 'string' && word.trim() === word && word !== '', 'words'),
    coerce: (value: unknown) => (typeof value === 'string' ? value.split(',') : value),
  });
  convict.addFormat({
    name: 'counts',
    validate: listOf((count) => Number.isSafeInteger(count) && Number(count) > 0, 'whole numbers above zero'),
    coerce: (value: unknown) =>
      typeof value === 'string'
        ? value.split(',').map((part) => (/^\d{1,9}$/.test(part) ? Number(part) : part))
        : value,
  });
}

function isLeaf(node: object): node is { default: unknown; env?: string; arg?: string; doc?: string } {
  return 'default' in node;
}

/** Lists the values of a schema, depth first, in the order in which they stand. */
export function configEntries<T>(schema: ConfigSchema<T>, prefix = ''): ConfigEntry[] {
  return Object.entries(schema).flatMap(([key, node]) => {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    if (typeof node !== 'object' || node === null) return [];
    if (!isLeaf(node)) return configEntries(node as ConfigSchema<unknown>, path);
    return [{ path, flag: node.arg, env: node.env, doc: node.doc ?? '' }];
  });
}

/**
 * Reads a configuration: file, then environment, then flags; later ones win. Every key must be known and
 * every value fit its format.
 * @throws AppError `usage` when a flag is at fault, `config` when the file or the environment is
 */
export function loadConfig<T>(schema: ConfigSchema<T>, sources: ConfigSources): LoadedConfig<T> {
  addFormats();
  const place = sources.file ?? 'environment';
  const config = attempt('config', place, () => convict(schema, { env: sources.env, args: [] }));
  if (sources.file !== undefined) loadFile(config, sources.file);
  for (const entry of configEntries(schema)) applyFlag(config, entry, sources.flags[entry.path]);
  attempt('config', place, () => config.validate({ allowed: 'strict' }));
  return { values: config.getProperties(), print: () => config.toString() };
}

function loadFile<T>(config: convict.Config<T>, file: string): void {
  attempt('config', file, () => readFileSync(file));
  attempt('config', file, () => config.loadFile(file));
}

function applyFlag<T>(config: convict.Config<T>, entry: ConfigEntry, value: string | undefined): void {
  if (value === undefined) return;
  attempt('usage', `--${entry.flag}`, () => {
    (config as convict.Config<Record<string, unknown>>).set(entry.path, value);
    config.validate({ allowed: 'warn', output: () => undefined });
  });
}

function attempt<R>(code: 'usage' | 'config', place: string, work: () => R): R {
  try {
    return work();
  } catch (cause) {
    const text =
      cause instanceof Error ? cause.message.trim().replaceAll(/\s*\n\s*/g, '; ') : describeError(cause);
    throw new AppError(code, `${place}: ${text}`, { cause: undefined });
  }
}
