import type { Tick } from '../../shared/cli/chart.ts';
import { offsetMsAt, wallTime } from '../../shared/cli/zone.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Times that people count in. */
const STEPS_MS = [
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * SECOND_MS),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE_MS),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR_MS),
  ...[1, 2, 7, 14, 28, 91, 182, 364].map((days) => days * DAY_MS),
] as const;

/** Characters of the longest label, with room around it. */
const LABEL_COLUMNS = 12;

/** Ticks of a time axis at round times of a zone, so few that their labels do not touch. */
export function timeTicks(fromMs: number, toMs: number, zone: string): (columns: number) => Tick[] {
  return (columns) => {
    const atLeastMs = ((toMs - fromMs) / columns) * LABEL_COLUMNS;
    const stepMs = STEPS_MS.find((step) => step >= atLeastMs) ?? Math.ceil(atLeastMs / DAY_MS) * DAY_MS;
    const ticks: Tick[] = [];
    const endMs = toMs + offsetMsAt(toMs, zone);
    let wallMs = Math.ceil((fromMs + offsetMsAt(fromMs, zone)) / stepMs) * stepMs;
    for (; wallMs <= endMs; wallMs += stepMs) {
      ticks.push({ x: wallTime(wallMs, zone), text: labelOf(wallMs, stepMs) });
    }
    return ticks;
  };
}

/** The time of day, or the date where a day begins. */
function labelOf(wallMs: number, stepMs: number): string {
  const text = new Date(wallMs).toISOString();
  if (stepMs > 28 * DAY_MS) return text.slice(0, 10);
  if (wallMs % DAY_MS === 0) return text.slice(5, 10);
  return stepMs < MINUTE_MS ? text.slice(11, 19) : text.slice(11, 16);
}
