/** How often what has happened; the beginnings stand for what is assumed of any machine. */
export interface Counts {
  readonly inferences: number;
  readonly jumps: number;
  /** Jumps up that nothing had announced. */
  readonly onsets: number;
  readonly accidents: number;
}

/** Assumed of any machine. */
export const ASSUMED: Counts = { inferences: 400, jumps: 1, onsets: 1, accidents: 1 };
/** After so many inferences what was counted is halved. */
const REMEMBERS = 4_000;

/** One more inference. What happened long ago counts for less: a machine changes its habits. */
export function counted({ inferences, jumps, onsets, accidents }: Counts): Counts {
  if (inferences < REMEMBERS) return { inferences: inferences + 1, jumps, onsets, accidents };
  const half = (count: number, assumed: number): number => assumed + (count - assumed) / 2;
  return {
    inferences: half(inferences, ASSUMED.inferences) + 1,
    jumps: half(jumps, ASSUMED.jumps),
    onsets: half(onsets, ASSUMED.onsets),
    accidents: half(accidents, ASSUMED.accidents),
  };
}

/** Probability that the load jumps at an inference, out of nothing. */
export function jumpRate({ jumps, inferences }: Counts): number {
  return jumps / inferences;
}

/** Probability that an inference has an accident. */
export function accidentRate({ accidents, inferences }: Counts): number {
  return accidents / inferences;
}

/** Probability that load comes with the next inference, out of nothing. */
export function onsetRate({ onsets, inferences }: Counts): number {
  return onsets / inferences;
}
