import { Command } from 'commander';
import { packageVersion } from '../shared/package.ts';
import { runProgram } from '../shared/program.ts';
import { addAlerts } from './cli/alerts.ts';
import { addBudget } from './cli/budget.ts';
import { type Cli, createCli } from './cli/context.ts';
import { addDevices } from './cli/devices.ts';
import { addEvents } from './cli/events.ts';
import { addExplain } from './cli/explain.ts';
import { addFamily } from './cli/family.ts';
import { addGroups } from './cli/groups.ts';
import { addHistory } from './cli/history.ts';
import { addKeys } from './cli/keys.ts';
import { addLogin } from './cli/login.ts';
import { addProgram } from './cli/program.ts';
import { addRollout } from './cli/rollout.ts';
import { addStatus } from './cli/status.ts';
import { addTelemetry } from './cli/telemetry.ts';
import { addRestore } from './offline.ts';
import { addServices } from './services.ts';

const NAME = 'ofa-fleet';

/**
 * Runs the controller's program with the arguments and the environment of this process.
 * @returns the exit status
 */
export function run(): Promise<number> {
  return runProgram({ name: NAME, build: () => buildProgram(process.env) });
}

/** All commands of the program. */
export function buildProgram(env: NodeJS.ProcessEnv, cli: Cli = createCli(env)): Command {
  const program = new Command(NAME)
    .description('Controls a fleet of agents: the controller itself, and the commands that speak to it.')
    .version(packageVersion(), '-V, --version')
    // Commands have a --version of their own.
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `
Exit status:
  0 done   1 failed   2 wrong usage   3 not found   4 rollout aborted
  5 no answer in time   6 done in part   7 controller unreachable, or not authorised`,
    );
  program.commandsGroup('Controller:');
  addServices(program, env);
  program.commandsGroup('Fleet:');
  addLogin(program, cli);
  addStatus(program, cli);
  addDevices(program, cli);
  addGroups(program, cli);
  addBudget(program, cli);
  addTelemetry(program, cli);
  addEvents(program, cli);
  addAlerts(program, cli);
  addExplain(program, cli);
  addRestore(addHistory(program, cli), cli);
  program.commandsGroup('Updates:');
  addKeys(program, cli);
  addFamily(program, cli);
  addProgram(program, cli);
  addRollout(program, cli);
  return program;
}
