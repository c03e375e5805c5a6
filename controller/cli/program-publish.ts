import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { invariant } from '../../shared/errors.ts';
import { programRelease } from '../../shared/release/build.ts';
import { readProgramNeeds } from '../../shared/release/program-file.ts';
import type { Cli } from './context.ts';
import { addExamples } from './options.ts';
import { releaseColumns } from './release-list.ts';
import {
  addReleaseOptions,
  parseReleaseOptions,
  parseReleaseVersion,
  type ReleaseOptions,
} from './release-options.ts';
import { publishRelease } from './release-publish.ts';
import { parseId } from './values.ts';

interface PublishOptions extends ReleaseOptions, OutputOptions {
  readonly name: string;
  readonly version: string;
}

/** Adds `program publish`. */
export function addProgramPublish(program: Command, cli: Cli): void {
  const command = program
    .command('publish')
    .description("Sign a version of the agent's program and put it on the controller; a rollout installs it.")
    .argument('<file>', "what 'program pack' made")
    .option('--name <name>', 'of the program', 'ofa-agent')
    .requiredOption('--version <number>', 'of the release; only goes up');
  addReleaseOptions(command).action((file: string, options: PublishOptions) => publish(cli, file, options));
  addExamples(addOutput(command), 'program publish ofa-agent-0.2.0.tgz --version 2 --arch arm64');
}

async function publish(cli: Cli, file: string, options: PublishOptions): Promise<void> {
  const now = cli.clock.now();
  const facts = {
    ...parseReleaseOptions(options, now),
    name: parseId(options.name, '--name'),
    version: parseReleaseVersion(options.version, '--version'),
  };
  // What it says of itself is what agents read from it; it is not typed a second time.
  const needs = await readProgramNeeds(file);
  const release = await publishRelease(cli, {
    files: [{ role: 'program', path: file }],
    key: options.key,
    facts,
    manifestOf: ([packed], all) => {
      invariant(packed !== undefined, 'a program is one file');
      return programRelease(packed, { ...all, program: needs });
    },
  });
  cli.print({ rows: [release], columns: releaseColumns(now), json: release }, options.output);
}
