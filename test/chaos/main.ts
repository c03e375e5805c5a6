import { Command, InvalidArgumentError, Option } from 'commander';
import { AppError, describeError, exitCodeOf } from '../../shared/errors.ts';
import { brokerScenario } from './broker.ts';
import { clockScenario } from './clock.ts';
import { agentDiskScenario, controllerDiskScenario } from './disk.ts';
import { killsScenario } from './kills.ts';
import { linkCutScenario } from './link-cut.ts';
import { malformedScenario } from './malformed.ts';
import { powerCutsScenario } from './power-cuts.ts';
import { type Format, render, runAll } from './report.ts';
import type { Scenario } from './scenario.ts';
import { twinsScenario } from './twins.ts';

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  kills: killsScenario,
  broker: brokerScenario,
  'link-cut': linkCutScenario,
  'agent-disk': agentDiskScenario,
  'controller-disk': controllerDiskScenario,
  clock: clockScenario,
  twins: twinsScenario,
  malformed: malformedScenario,
  'power-cuts': powerCutsScenario,
};

interface Flags {
  readonly output: Format;
  readonly seed: number;
  readonly only?: string;
  readonly kills: number;
}

async function chaos({ output, seed, only, kills }: Flags): Promise<void> {
  if (only !== undefined && !Object.hasOwn(SCENARIOS, only)) {
    const known = Object.keys(SCENARIOS).join(', ');
    throw new AppError('usage', `--only: there is no scenario "${only}", only ${known}`);
  }
  const chosen = Object.entries(SCENARIOS).filter(([name]) => only === undefined || name === only);
  const report = await runAll(chosen, { seed, kills });
  process.stdout.write(render(report, output));
  process.exitCode = report.holds ? 0 : 1;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError(`'${text}' is no whole number`);
}

const list = Object.entries(SCENARIOS).map(([name, { summary }]) => `  ${name.padEnd(16)}${summary}\n`);
const program = new Command('chaos')
  .description('Does to a fleet of real processes what happens to fleets, and looks for what was lost.')
  .addOption(new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'))
  .addOption(new Option('--seed <number>', 'of all that is random').argParser(wholeNumber).default(1))
  .addOption(new Option('--kills <number>', 'in all, at least').argParser(wholeNumber).default(100))
  .option('--only <name>', 'only this scenario')
  .addHelpText('after', `\nScenarios:\n${list.join('')}`)
  .exitOverride()
  .action(chaos);

try {
  await program.parseAsync();
} catch (error) {
  // What commander itself throws it has already said; its help is no error.
  const ofCommander = error instanceof Error && 'exitCode' in error ? error.exitCode : undefined;
  if (ofCommander === undefined) process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = ofCommander === undefined ? exitCodeOf(error) : ofCommander === 0 ? 0 : 2;
}
