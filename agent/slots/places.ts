import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AGENT_ENTRY } from '../../shared/release/agent-entry.ts';

/** A program by the SHA-256 of its file; `null` is the one that was installed by hand. */
export type Slot = string | null;

/** The folder of a state folder that holds the programs, and what the launcher remembers. */
export function programsFolder(stateDir: string): string {
  return join(stateDir, 'programs');
}

/** The folder of one program; whether it is there or not. */
export function slotFolder(stateDir: string, sha256: string): string {
  return join(programsFolder(stateDir), sha256);
}

/** Whether a program can be started: its folder gets its name only when it is whole. */
export function hasSlot(stateDir: string, slot: Slot): boolean {
  return slot === null || existsSync(join(slotFolder(stateDir, slot), AGENT_ENTRY));
}
