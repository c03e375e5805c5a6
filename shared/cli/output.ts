import { type Command, Option } from 'commander';
import { OUTPUT_FORMATS, type OutputFormat } from './format.ts';

/** The option of every command that prints data. */
export interface OutputOptions {
  readonly output: OutputFormat;
}

/** Adds `-o table|json|csv`. */
export function addOutput(command: Command): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'how to print it').choices(OUTPUT_FORMATS).default('table'),
  );
}

/** Adds examples to the help of a command of `program`. */
export function addExamplesOf(program: string, command: Command, examples: readonly string[]): Command {
  const lines = examples.map((example) => `  $ ${program} ${example}\n`).join('');
  return command.addHelpText('after', `\n${examples.length > 1 ? 'Examples' : 'Example'}:\n${lines}`);
}
