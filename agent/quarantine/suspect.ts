import { existsSync } from 'node:fs';
import type { Trial } from './child-trial.ts';
import { clearSuspects, readSuspects, type Suspect } from './marker.ts';
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
 * Judges the points that were in flight when the agent died, one of each engine; to be called before anything is
 * loaded. A point is tried again in a process of its own. When that dies too the point is quarantined at once,
 * else the death counts as a strike: it may have been of something else, such as a lack of memory. A restart of
 * the whole machine is no strike. Nor is a death while another family was made ready beside the one that serves:
 * it may have been of that, and who has it made ready counts such deaths. When a point hung, the process was ended
 * because of that one.
 * @returns what was done; nothing where no point was in flight
 */
export async function judgeSuspects(deps: JudgeDeps): Promise<readonly Judgement[]> {
  const suspects = readSuspects(deps.stateDir);
  const hung = suspects.filter(({ death }) => death === 'hung');
  const suspected = hung.length > 0 ? hung : suspects;
  const judgements: Judgement[] = [];
  for (const suspect of suspected) {
    judgements.push({ suspect, ...(await judge(suspect, deps)) });
  }
  clearSuspects(deps.stateDir);
  return judgements;
}

async function judge(
  suspect: Suspect,
  { quarantine, runtime, retry }: JudgeDeps,
): Promise<Pick<Judgement, 'sentence' | 'reason'>> {
  const { point, death } = suspect;
  const what = `the agent ${death === 'hung' ? 'hung' : 'died'} in level ${point.level} on ${point.pe}`;
  const letGo = (why: string) => ({ sentence: 'let go', reason: `${what}${why}` }) as const;
  if (suspect.runtime !== runtime) return letGo(', under another library');
  if (!existsSync(point.modelPath)) return letGo(', which is no longer here');
  const trial = await retry(suspect);
  if (trial.outcome === 'died') {
    const reason = `${what}; tried again in a process of its own: ${trial.reason}`;
    quarantine.put(point, reason);
    return { sentence: 'quarantined', reason };
  }
  const again = trial.outcome === 'passed' ? 'it passed when it was tried again' : trial.reason;
  if (suspect.machineRestarted) return letGo(`; ${again}; the machine was restarted`);
  if (!suspect.isOnlyEngine && death !== 'hung') {
    return letGo(`; ${again}; another family was being made ready`);
  }
  const reason = `${what}; ${again}`;
  return { sentence: quarantine.strike(point, reason) ? 'quarantined' : 'struck', reason };
}
