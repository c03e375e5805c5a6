import { Command } from 'commander';
import { packageVersion } from '../shared/package.ts';
import { runProgram } from '../shared/program.ts';
import { addBackboneCommands } from './cli/backbone.ts';
import { type Cli, createCli } from './cli/context.ts';
import { addFamilyCommands } from './cli/family.ts';
import { addLatencyTableCommands } from './cli/latency-table.ts';
import { addPredictorCommands } from './cli/predictor.ts';
import { addSearchCommand } from './cli/search.ts';
import { addSubnetCommands } from './cli/subnet.ts';

const NAME = 'ofa-models';

/** Every group of commands; each adds its own to the program. */
const COMMANDS: readonly ((program: Command, cli: Cli) => void)[] = [
  addBackboneCommands,
  addSubnetCommands,
  addLatencyTableCommands,
  addPredictorCommands,
  addSearchCommand,
  addFamilyCommands,
];

/**
 * Runs the offline program with the arguments and the environment of this process.
 * @returns the exit status
 */
export function run(): Promise<number> {
  return runProgram({ name: NAME, build: () => buildProgram(createCli(process.env)) });
}

/** All commands of the program. */
export function buildProgram(cli: Cli): Command {
  const program = new Command(NAME)
    .description('Makes families: reads a Once-for-all backbone, searches, cuts, calibrates, measures.')
    .version(packageVersion(), '-V, --version')
    .addHelpText(
      'after',
      `
Exit status:
  0 done   1 failed   2 wrong usage   3 not found   6 stopped; the same command goes on`,
    );
  for (const add of COMMANDS) add(program, cli);
  return program;
}
