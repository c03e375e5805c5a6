import { type Command, Option } from 'commander';
import type { ConfigEntry, ConfigSources } from './config.ts';
import { AppError } from './errors.ts';

/** How a program finds its configuration file. */
export interface ConfigFile {
  /** Environment variable that names the file when no argument does. */
  readonly env: string;
}

function optionOf({ flag, env, doc }: ConfigEntry): Option[] {
  if (flag === undefined) return [];
  return [new Option(`--${flag} <value>`, env === undefined ? doc : `${doc} (env: ${env})`)];
}

/** Gives a command a flag for every value of a configuration that has one, and `--config FILE`. */
export function addConfigFlags(command: Command, entries: readonly ConfigEntry[], file: ConfigFile): Command {
  command.option('--config <file>', `configuration file, JSON or YAML (env: ${file.env})`);
  for (const option of entries.flatMap(optionOf)) command.addOption(option);
  return command;
}

/** The sources of a configuration: the file, the environment, and the flags that were given to a command. */
export function configSources(
  entries: readonly ConfigEntry[],
  given: Readonly<Record<string, unknown>>,
  { env, file }: { readonly env: NodeJS.ProcessEnv; readonly file: ConfigFile },
): ConfigSources {
  const flags = entries.flatMap((entry) => {
    const value = optionOf(entry).map((option) => given[option.attributeName()])[0];
    return value === undefined ? [] : [[entry.path, textOf(value)] as const];
  });
  const path = given['config'] ?? env[file.env];
  return {
    env,
    flags: Object.fromEntries(flags),
    file: path === undefined || path === '' ? undefined : textOf(path),
  };
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new AppError('usage', `'${String(value)}' is not a value`);
}
