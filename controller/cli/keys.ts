import type { Command } from 'commander';
import { addOutput, type OutputOptions } from '../../shared/cli/output.ts';
import { AppError } from '../../shared/errors.ts';
import { formatRootFile } from '../../shared/release/roots.ts';
import { keyFolder } from '../../shared/user-folder.ts';
import type { Cli } from './context.ts';
import { ROOT, readKey } from './key-folder.ts';
import { createPublisher, revoke, rotatePublisher, rotateRoot } from './keys-changes.ts';
import { listKeys } from './keys-list.ts';
import { addExamples } from './options.ts';
import { parseId } from './values.ts';

/** Adds `keys create`, `keys rotate`, `keys revoke`, `keys list` and `keys root`. */
export function addKeys(program: Command, cli: Cli): void {
  const keys = program
    .command('keys')
    .description('Whose signed families and programs the fleet takes; private keys stay on this machine.');
  keys.addHelpText(
    'after',
    `
Private keys are kept in OFA_FLEET_KEYS, or else in ~/.config/ofa-fleet/keys, readable by you only:
  root.key  signs the keyring, which says who may publish; whoever has it decides what the fleet runs
  NAME.key  signs releases
  root.pub  is what agents need (trust.root); it is no secret`,
  );
  addCreate(keys, cli);
  addRotate(keys, cli);
  addRevoke(keys, cli);
  addExamples(
    addOutput(
      keys.command('list').description('List the keys that count, and those that are revoked.'),
    ).action(({ output }: OutputOptions) => listKeys(cli, output)),
    'keys list',
  );
  const root = keys
    .command('root')
    .description('Print what agents need: the public half of the root. Put it on each as trust.root.')
    .action(() => printRoot(cli));
  addExamples(root, 'keys root > root.pub');
}

function addCreate(keys: Command, cli: Cli): void {
  const create = keys
    .command('create')
    .description('Make a key for a publisher; the first time, also the root that says who is one.')
    .argument('<name>')
    .option('--new-root', 'begin anew with another root, after the one before was lost')
    .action((name: string, { newRoot = false }: { newRoot?: boolean }) =>
      createPublisher(cli, publisherName(name), newRoot),
    );
  addExamples(create, 'keys create ci');
}

function addRotate(keys: Command, cli: Cli): void {
  const rotate = keys
    .command('rotate')
    .description("Put a new key in the place of a publisher's, or of the root.")
    .argument('<name>', "a publisher, or 'root'")
    .action((name: string) => (name === ROOT ? rotateRoot(cli) : rotatePublisher(cli, publisherName(name))));
  addExamples(rotate, 'keys rotate ci', 'keys rotate root');
}

function addRevoke(keys: Command, cli: Cli): void {
  const command = keys
    .command('revoke')
    .description('Have a key count no more: nothing is installed that it signed.')
    .argument('<name|id>', 'a publisher, or the id of a key')
    .action((word: string) => revoke(cli, word));
  addExamples(command, 'keys revoke ci', 'keys revoke 9f86d081884c7d65');
}

function publisherName(text: string): string {
  const name = parseId(text, 'NAME');
  if (name === ROOT) throw new AppError('usage', "no publisher is called 'root'; choose another name");
  return name;
}

/** Of the private half: the file that others are given may be gone, or another's. */
async function printRoot(cli: Cli): Promise<void> {
  const folder = keyFolder(cli.env);
  const root = await readKey(folder, ROOT);
  if (root === undefined) {
    throw new AppError(
      'not-found',
      `no root.key in ${folder}; the first 'ofa-fleet keys create NAME' of a fleet makes it`,
    );
  }
  cli.write(formatRootFile([root.publicKey]));
}
