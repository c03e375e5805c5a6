import { existsSync } from 'node:fs';
import type { Trial } from './child-trial.ts';
import { clearSuspect, readSuspect, type Suspect } from './marker.ts';
import type { Quarantine } from './quarantine.ts';

export interface JudgeDeps {
  readonly stateDir: string;
  readonly quarantine: Quarantine;
  /** Version of ONNX Runtime; a suspect of another one is let go. */
  readonly runtime: string;
  /** Tries the suspect in a process of its own. */
  readonly retry: (suspect: Suspect) => Promise<Trial>;
}

/** What became of a suspect. */
export interface Judgement {
  readonly suspect: Suspect;
  readonly sentence: 'quarantined' | 'struck' | 'let go';
  readonly reason: string;
}

/**
 * Judges the point that was in flight when the agent died, if there was one; to be called before anything is
 * loaded. The point is tried again in a process of its own. When that dies too the point is quarantined at
 * once, else the death counts as a strike: it may have been of something else, such as a lack of memory.
 * A restart of the whole machine is no strike.
 * @returns what was done, undefined where no point was in flight
 */
export async function judgeSuspect(deps: JudgeDeps): Promise<Judgement | undefined> {
  const suspect = readSuspect(deps.stateDir);
  if (suspect === undefined) return undefined;
  const judgement = await judge(suspect, deps);
  clearSuspect(deps.stateDir);
  return { suspect, ...judgement };
}

async function judge(
  suspect: Suspect,
  { quarantine, runtime, retry }: JudgeDeps,
): Promise<Pick<Judgement, 'sentence' | 'reason'>> {
  const { point, death } = suspect;
  const what = `the agent ${death === 'hung' ? 'hung' : 'died'} in level ${point.level} on ${point.pe}`;
  if (suspect.runtime !== runtime) return { sentence: 'let go', reason: `${what}, under another library` };
  if (!existsSync(point.modelPath)) return { sentence: 'let go', reason: `${what}, which is no longer here` };
  const trial = await retry(suspect);
  if (trial.outcome === 'died') {
    const reason = `${what}; tried again in a process of its own: ${trial.reason}`;
    quarantine.put(point, reason);
    return { sentence: 'quarantined', reason };
  }
  const again = trial.outcome === 'passed' ? 'it passed when it was tried again' : trial.reason;
  const reason = `${what}; ${again}`;
  if (suspect.machineRestarted) return { sentence: 'let go', reason: `${reason}; the machine was restarted` };
  return { sentence: quarantine.strike(point, reason) ? 'quarantined' : 'struck', reason };
}
