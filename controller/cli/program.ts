import type { Command } from 'commander';
import type { Cli } from './context.ts';
import { addProgramPack } from './program-pack.ts';
import { addProgramPublish } from './program-publish.ts';
import { addReleaseDelete, addReleaseList } from './release-list.ts';

/** Adds `program pack`, `publish`, `list` and `delete`. */
export function addProgram(program: Command, cli: Cli): void {
  const group = program.command('program').description("Versions of the agent's own program, signed.");
  addProgramPack(group, cli);
  addProgramPublish(group, cli);
  addReleaseList(group, 'program', cli);
  addReleaseDelete(group, 'program', cli);
}
