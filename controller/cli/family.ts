import type { Command } from 'commander';
import type { Cli } from './context.ts';
import { addFamilyPublish } from './family-publish.ts';
import { addFamilyDiff, addFamilyShow } from './family-show.ts';
import { addReleaseDelete, addReleaseList } from './release-list.ts';

/** Adds `family publish`, `list`, `show`, `diff` and `delete`. */
export function addFamily(program: Command, cli: Cli): void {
  const family = program
    .command('family')
    .description('Signed families that devices are given by a rollout.');
  addFamilyPublish(family, cli);
  addReleaseList(family, 'family', cli);
  addFamilyShow(family, cli);
  addFamilyDiff(family, cli);
  addReleaseDelete(family, 'family', cli);
}
