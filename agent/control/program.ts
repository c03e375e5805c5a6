import type { Command } from 'commander';
import { addExamplesOf, addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseCount, parseTime } from '../../shared/cli/values.ts';
import { systemClock } from '../../shared/clock.ts';
import { MAX_INFERENCES } from '../../shared/control/protocol.ts';
import { AppError } from '../../shared/errors.ts';
import { MAX_EXPLAINED } from '../../shared/protocol/explanation.ts';
import type { Question } from './queries.ts';

const NAME = 'ofa-agent';

type Flags = Readonly<Record<string, unknown>>;

export interface ExplainFlags extends OutputOptions {
  readonly at?: string;
  readonly since?: string;
  readonly limit?: string;
  readonly inferences?: true;
}

/** Adds the commands that ask a running agent: `explain` and `profile`. */
export function addQueries(
  program: Command,
  withFlags: (command: Command) => Command,
  stateDirOf: (flags: Flags) => string,
): void {
  const explain = addOutput(withFlags(program.command('explain')))
    .description('Tell why the running agent chose as it did: switches, violations, frames that were shed.')
    .option('--at <time>', 'around which time: an age such as 10s, or ISO 8601 (default: the newest)')
    .option('--since <time>', 'nothing older than this')
    .option('--limit <count>', 'how many at most (default: 5 decisions, or all inferences)')
    .option('--inferences', 'print the measured inferences instead')
    .action(async (flags: Flags & ExplainFlags) => {
      const { printExplanation, printInferences } = await import('./queries.ts');
      const question = questionOf(flags, systemClock.now());
      const print = flags.inferences === true ? printInferences : printExplanation;
      await print(stateDirOf(flags), question, flags.output);
    });
  addExamplesOf(NAME, explain, [
    'explain --state /var/lib/ofa-agent --at 30s',
    'explain --since 10m --limit 20 -o json',
    'explain --inferences --since 1m -o csv',
  ]);
  const profile = addOutput(withFlags(program.command('profile')))
    .description("Show what the running agent measured of its family's levels, or have it measure them anew.")
    .option('--measure', 'measure anew in idle time; the answer says that it has begun')
    .action(async (flags: Flags & OutputOptions & { readonly measure?: true }) => {
      const { printProfile } = await import('./queries.ts');
      await printProfile(stateDirOf(flags), flags.measure === true ? 'measure' : 'show', flags.output);
    });
  addExamplesOf(NAME, profile, ['profile', 'profile --measure']);
}

function questionOf({ at, since, limit, inferences }: ExplainFlags, now: number): Question {
  const most = inferences === true ? MAX_INFERENCES : MAX_EXPLAINED;
  if (inferences === true && at !== undefined) {
    throw new AppError('usage', '--at is for decisions; name inferences with --since and --limit');
  }
  if (limit !== undefined && parseCount(limit, '--limit') > most) {
    throw new AppError('usage', `--limit: '${limit}' is more than ${most}`);
  }
  return {
    ...(at !== undefined && { at: parseTime(at, now, '--at') }),
    ...(since !== undefined && { since: parseTime(since, now, '--since') }),
    ...(limit !== undefined && { limit: parseCount(limit, '--limit') }),
  };
}
