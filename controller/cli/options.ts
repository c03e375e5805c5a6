import type { Command } from 'commander';
import { addExamplesOf } from '../../shared/cli/output.ts';

/** Adds the options that name devices; without one of them, the command is about the whole fleet. */
export function addTarget(command: Command): Command {
  return command
    .option('--device <id>', 'one device')
    .option('-g, --group <name>', 'the devices of a group')
    .option('-l, --selector <text>', 'devices by their labels, for example site=lab,model!=nano');
}

/** Adds examples to a command's help. */
export function addExamples(command: Command, ...examples: readonly string[]): Command {
  return addExamplesOf('ofa-fleet', command, examples);
}
