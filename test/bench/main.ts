import { Command, Option } from 'commander';
import { AppError, describeError, exitCodeOf } from '../../shared/errors.ts';
import { engineBench } from './engine.ts';
import { historyBench } from './history.ts';
import { modelsBench } from './models.ts';
import { type Bench, type Format, render, reportOf } from './report.ts';
import { rolloutBench } from './rollout.ts';
import { runtimeBench } from './runtime.ts';

const BENCHES: Readonly<Record<string, Bench>> = {
  engine: engineBench,
  history: historyBench,
  models: modelsBench,
  rollout: rolloutBench,
  runtime: runtimeBench,
};

interface Flags {
  readonly output: Format;
  readonly part?: string;
}

async function bench(name: string | undefined, { output, part }: Flags): Promise<void> {
  const list = Object.entries(BENCHES).map(([known, { summary }]) => `  ${known}  ${summary}\n`);
  if (name === undefined) {
    process.stdout.write(`Benches:\n${list.join('')}`);
    return;
  }
  const chosen = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (chosen === undefined) {
    throw new AppError('usage', `there is no bench "${name}", only ${Object.keys(BENCHES).join(', ')}`);
  }
  const measure = part === undefined ? chosen.measure : partOf(chosen, part);
  process.stdout.write(render(reportOf(name, await measure()), output));
}

function partOf({ parts = {} }: Bench, name: string): Bench['measure'] {
  const part = Object.hasOwn(parts, name) ? parts[name] : undefined;
  if (part !== undefined) return part;
  const known = Object.keys(parts);
  const which = known.length === 0 ? 'it has none' : `only ${known.join(', ')}`;
  throw new AppError('usage', `--part: there is no part "${name}", ${which}`);
}

const program = new Command('bench')
  .description('Measures this machine; without a name, lists what can be measured.')
  .argument('[name]', 'what to measure')
  .addOption(new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'))
  .option('--part <name>', 'only this part of it')
  .exitOverride()
  .action(bench);

try {
  await program.parseAsync();
} catch (error) {
  // What commander itself throws it has already said; its help is no error.
  const ofCommander = error instanceof Error && 'exitCode' in error ? error.exitCode : undefined;
  if (ofCommander === undefined) process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = ofCommander === undefined ? exitCodeOf(error) : ofCommander === 0 ? 0 : 2;
}
