import { type Command, Option } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { familyPath } from '../bundled.ts';
import { rehearseFamily } from '../rehearse/family.ts';
import type { Fault } from '../rehearse/model.ts';
import type { Cli } from './context.ts';
import { LEVEL_COLUMNS, levelRows } from './family-options.ts';
import { addExamples } from './options.ts';

/** Far slower than any gate lets pass, and still a graph of a bearable size. */
const MAX_TIMES = 32;

interface RehearseOptions extends OutputOptions {
  readonly fault: Fault['kind'];
  readonly out: string;
  readonly times: string;
  readonly familyVersion?: string;
  readonly replace?: true;
}

/** `family rehearse`. */
export function addFamilyRehearse(family: Command, cli: Cli): void {
  const command = family
    .command('rehearse')
    .argument('<folder>', 'a family, by its folder or bundled name')
    .description(
      "Make a next version that is sound by its hashes and bad in what it does, to rehearse a rollout's gates.",
    )
    .addOption(
      new Option(
        '--fault <name>',
        'slow: right answers, too late; wrong: at once, the next class; none: a good version',
      )
        .choices(['slow', 'wrong', 'none'])
        .makeOptionMandatory(),
    )
    .requiredOption('--out <folder>', 'where the family is written')
    .option('--times <n>', 'how many runs a slow level does for one answer', '3')
    .option(
      '--family-version <n>',
      'version of the family; default one above that of the family that it is made of',
    )
    .option('--replace', 'write over a family that is there')
    .action((folder: string, options: RehearseOptions) => rehearse(cli, folder, options));
  addExamples(
    addOutput(command),
    'family rehearse fashion-mnist --fault slow --out slow',
    'family rehearse fashion-mnist --fault none --family-version 5 --out good',
  );
}

async function rehearse(cli: Cli, source: string, options: RehearseOptions): Promise<void> {
  const { out, familyVersion, replace, output } = options;
  const family = await rehearseFamily({
    source: familyPath(source),
    folder: out,
    fault: faultOf(options),
    replace: replace === true,
    ...(familyVersion === undefined ? {} : { version: parseCount(familyVersion, '--family-version') }),
  });
  const { levels, version } = family.manifest;
  const json = { folder: out, sha256: family.sha256, version, levels };
  cli.print({ rows: levelRows(levels), columns: LEVEL_COLUMNS, json }, output);
  cli.note(`${out}: latency and accuracy are those of ${source}, as the family claims them`);
}

function faultOf({ fault, times }: RehearseOptions): Fault {
  if (fault !== 'slow') return { kind: fault };
  const count = parseCount(times, '--times');
  if (count >= 2 && count <= MAX_TIMES) return { kind: 'slow', times: count };
  throw new AppError('usage', `--times: ${count}, expected 2..${MAX_TIMES}`);
}
