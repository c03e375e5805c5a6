import { readFileSync } from 'node:fs';
import { arch } from 'node:os';
import { type MachineState, readMachine } from './profile/machine.ts';
import { readPowerMode } from './sensors/power-mode.ts';
import { execProgram } from './sensors/processes.ts';

/**
 * Makes the function that reads what a profile holds for; a Jetson's power mode is part of it.
 * @param root where the file system begins
 */
export function machineOf(root: string): () => Promise<MachineState> {
  return () => readMachine({ root, powerMode: () => readPowerMode(root, execProgram) });
}

/** The board's name as the firmware gives it; a generic name where there is none. */
export function boardModel(): string {
  try {
    const model = readFileSync('/sys/firmware/devicetree/base/model', 'utf8');
    return model.replaceAll('\0', '').trim() || 'unknown';
  } catch {
    return `generic ${arch()}`;
  }
}
