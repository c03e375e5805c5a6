import type { Command } from 'commander';
import type { Cli } from './context.ts';
import { addSubnetEvaluate } from './subnet-evaluate.ts';
import { addSubnetExport } from './subnet-export.ts';
import { addSubnetProfile } from './subnet-profile.ts';

/** `subnet export|evaluate|profile`. */
export function addSubnetCommands(program: Command, cli: Cli): void {
  const subnet = program.command('subnet').description('Single sub-networks.');
  addSubnetExport(subnet, cli);
  addSubnetEvaluate(subnet, cli);
  addSubnetProfile(subnet, cli);
}
