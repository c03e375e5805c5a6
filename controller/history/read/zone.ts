import type { Zone } from '../../../shared/zone.ts';

/** A span of time in which the clocks are not changed. */
export interface ZonePiece {
  readonly from: number;
  /** Not included. */
  readonly to: number;
  readonly offsetMs: number;
}

/** Nowhere are the clocks changed and changed back within so short a time. */
const STEP_MS = 7 * 86_400_000;

/** Cuts a span of time where the clocks of the zone are changed. */
export function piecesOf(zone: Zone, from: number, to: number): ZonePiece[] {
  const pieces: ZonePiece[] = [];
  let start = from;
  let offsetMs = zone.offsetMsAt(from);
  for (let at = from; at < to; at += STEP_MS) {
    const next = Math.min(at + STEP_MS, to);
    const after = zone.offsetMsAt(next);
    if (after === offsetMs) continue;
    const change = changeBetween(zone, at, next);
    // At the very end the change is that of the time after it.
    if (change >= to) break;
    pieces.push({ from: start, to: change, offsetMs });
    start = change;
    offsetMs = after;
  }
  pieces.push({ from: start, to, offsetMs });
  return pieces;
}

/** First whole second at which the clocks show another offset than at `from`; at `to` they do. */
function changeBetween(zone: Zone, from: number, to: number): number {
  const offsetMs = zone.offsetMsAt(from);
  let low = Math.floor(from / 1_000);
  let high = Math.floor(to / 1_000);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (zone.offsetMsAt(middle * 1_000) === offsetMs) low = middle;
    else high = middle;
  }
  return high * 1_000;
}
