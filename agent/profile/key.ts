import { sha256 } from '../../shared/files.ts';
import type { Contender, ElementOptions } from './contender.ts';
import type { MachineState } from './machine.ts';

/** Everything that a profile holds for: where any of it differs, another one is measured. */
export interface ProfileFacts {
  readonly machine: MachineState;
  /** Version of ONNX Runtime. */
  readonly runtime: string;
  readonly elements: readonly ElementOptions[];
  /** SHA-256 of every level's model, in the family's order. */
  readonly levels: readonly string[];
}

/** Name of the profile that holds for these facts. */
export function profileKey({ machine, runtime, elements, levels }: ProfileFacts): string {
  const { deviceModel, powerMode, clocks } = machine;
  const ways = elements.map(({ pe, providers, threads }) => [pe, providers, threads]);
  // Written out, so that the order of an object's keys does not matter.
  return sha256(JSON.stringify([deviceModel, powerMode, clocks, runtime, ways, levels]));
}

/** Whether a point is one of those that the facts speak of. */
export function isOfFacts(
  {
    pe,
    level,
    sha256: hash,
    threads,
  }: Pick<Contender, 'pe' | 'level' | 'sha256'> & { readonly threads: number },
  { elements, levels }: ProfileFacts,
): boolean {
  const element = elements.find((each) => each.pe === pe);
  return levels[level] === hash && element?.threads.includes(threads) === true;
}
