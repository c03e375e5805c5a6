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

/** Adds the options that name devices; without one of them, the command is about the whole fleet. */
export function addTarget(command: Command): Command {
  return command
    .option('--device <id>', 'one device')
    .option('-g, --group <name>', 'the devices of a group')
    .option('-l, --selector <text>', 'devices by their labels, for example site=lab,model!=nano');
}

/** Adds examples to a command's help. */
export function addExamples(command: Command, ...examples: readonly string[]): Command {
  const lines = examples.map((example) => `  $ ofa-fleet ${example}\n`).join('');
  return command.addHelpText('after', `\n${examples.length > 1 ? 'Examples' : 'Example'}:\n${lines}`);
}
