/** Pieces of work of one thread, done a few at a time. */
export interface Turns {
  /**
   * Puts a piece in line.
   * @param size of the piece, in the unit of the bound
   */
  add(size: number, work: () => void): void;
}

/**
 * Does pieces in the order in which they came, each time until `bound` is reached, and then lets everything
 * else of the thread have its turn: timers, requests, other sockets.
 */
export function createTurns(bound: number): Turns {
  let line: { readonly size: number; readonly work: () => void }[] = [];
  const next = (): void => {
    let done = 0;
    let at = 0;
    for (; at < line.length && done < bound; at += 1) {
      const piece = line[at];
      done += piece?.size ?? 0;
      piece?.work();
    }
    line = line.slice(at);
    if (line.length > 0) setImmediate(next);
  };
  return {
    add: (size, work) => {
      line.push({ size, work });
      if (line.length === 1) setImmediate(next);
    },
  };
}
