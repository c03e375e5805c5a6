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
