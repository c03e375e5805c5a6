import type { Command } from 'commander';
import type { Cli } from './context.ts';
import { addFamilyBuild } from './family-build.ts';
import { addFamilyImport } from './family-import.ts';
import { addFamilyRehearse } from './family-rehearse.ts';
import { addFamilyPlot, addFamilyShow } from './family-show.ts';

/** `family build|import|rehearse|show|plot`. */
export function addFamilyCommands(program: Command, cli: Cli): void {
  const family = program.command('family').description('Families: what agents run.');
  addFamilyBuild(family, cli);
  addFamilyImport(family, cli);
  addFamilyRehearse(family, cli);
  addFamilyShow(family, cli);
  addFamilyPlot(family, cli);
}
