import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { parseChoice } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { readFamily } from '../../shared/family/read.ts';
import { type FamilyForm, familyRelease, filesOfFamily } from '../../shared/release/build.ts';
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

/** What each form is, for the help; the type keeps it complete. */
const FORM_HELP = {
  full: 'all models as files',
  recipes: 'the backbone, which most devices have already, and how to cut each model from it',
} as const satisfies Record<FamilyForm, string>;
const FORMS = Object.keys(FORM_HELP) as FamilyForm[];

interface PublishOptions extends ReleaseOptions, OutputOptions {
  readonly form: string;
  readonly backbone?: string;
}

/** Adds `family publish`. */
export function addFamilyPublish(family: Command, cli: Cli): void {
  const command = family
    .command('publish')
    .description('Sign a family and put it on the controller; devices take it with a rollout.')
    .argument('<dir>', 'folder with family.json and blobs')
    .option('--form <form>', `${FORMS.join(' or ')} (see below)`, 'full')
    .option('--backbone <file>', 'weights that the recipes are for, as safetensors')
    .option('--version <number>', 'only goes up (default: that of family.json)');
  addReleaseOptions(command).action((dir: string, options: PublishOptions) => publish(cli, dir, options));
  const forms = FORMS.map((form) => `  ${form.padEnd(8)} ${FORM_HELP[form]}`);
  command.addHelpText('after', `\nForms:\n${forms.join('\n')}`);
  addExamples(
    addOutput(command),
    'family publish models/families/fashion-mnist',
    'family publish ./my-family --form recipes --backbone models/backbones/fashion-mnist/backbone.safetensors',
    "family publish ./my-family --version 4 --key ci --expires 90d --arch arm64 --board 'Orin Nano'",
  );
}

async function publish(cli: Cli, dir: string, options: PublishOptions): Promise<void> {
  const { form, backbone } = parseForm(options);
  const now = cli.clock.now();
  const facts = parseReleaseOptions(options, now);
  const given = options.version === undefined ? undefined : parseReleaseVersion(options.version, '--version');
  const read = await readFamily(dir);
  const { manifest } = read;
  const release = await publishRelease(cli, {
    files: filesOfFamily(read, form, backbone),
    key: options.key,
    facts: { ...facts, name: manifest.name, version: given ?? manifest.version },
    manifestOf: (files, all) => familyRelease(manifest, files, { ...all, form }),
  });
  cli.print({ rows: [release], columns: releaseColumns(now), json: release }, options.output);
}

function parseForm({ form: word, backbone }: PublishOptions): { form: FamilyForm; backbone?: string } {
  const form = parseChoice(word, FORMS, '--form');
  if (form === 'recipes' && backbone === undefined) {
    throw new AppError(
      'usage',
      '--form recipes needs --backbone FILE: the safetensors file that the family was cut from, usually models/backbones/NAME/backbone.safetensors',
    );
  }
  if (form === 'full' && backbone !== undefined) {
    throw new AppError('usage', '--backbone is for --form recipes; a full family brings its models');
  }
  return { form, ...(backbone !== undefined && { backbone }) };
}
