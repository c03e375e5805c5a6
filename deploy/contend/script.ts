import { parseFraction } from '../../shared/cli/values.ts';
import { AppError } from '../../shared/errors.ts';
import { parseQuantity } from '../../shared/units.ts';

/** What a contender does: `integer` keeps a core's arithmetic busy, `memory` copies 64 MiB through the caches. */
export const CONTENTION_KINDS = ['integer', 'memory'] as const;
export type ContentionKind = (typeof CONTENTION_KINDS)[number];

/** From `atMs` after the script's beginning on, each worker is busy for this share of the time. */
export interface ContentionStep {
  readonly atMs: number;
  /** 0..1. */
  readonly duty: number;
}

/** Load over time. It ends with its last step, whose duty cycle is therefore never done. */
export interface ContentionScript {
  readonly kind: ContentionKind;
  /** Threads that each follow the duty cycle. */
  readonly workers: number;
  /** In the order of time, the first at 0. */
  readonly steps: readonly ContentionStep[];
}

/** Each memory worker takes 64 MiB. */
const MAX_WORKERS = 64;
const MAX_STEPS = 1_000;

/** How long the script takes, milliseconds. */
export function scriptMs({ steps }: ContentionScript): number {
  return steps.at(-1)?.atMs ?? 0;
}

/** The step in force at a time since the script's beginning; undefined before it and after it. */
export function stepAt({ steps }: ContentionScript, sinceMs: number): ContentionStep | undefined {
  const index = steps.findLastIndex(({ atMs }) => atMs <= sinceMs);
  return index < 0 || index === steps.length - 1 ? undefined : steps[index];
}

/** When the step after that of `sinceMs` begins; the script's end after the last one. */
export function nextStepMs(script: ContentionScript, sinceMs: number): number {
  return script.steps.find(({ atMs }) => atMs > sinceMs)?.atMs ?? scriptMs(script);
}

/** Steps as text: `0s=0%,5s=90%,15s=0%`. */
export function formatSteps({ steps }: ContentionScript): string {
  return steps.map(({ atMs, duty }) => `${atMs}ms=${duty}`).join(',');
}

/**
 * Reads steps as people write them, `0s=0%,5s=90%,15s=0%`: when since the beginning, and the share of time
 * that is busy from then on.
 * @throws AppError `usage` for text that is no such list, or times that do not begin at 0 and rise
 */
export function parseSteps(text: string, what: string): ContentionStep[] {
  const steps = text.split(',', MAX_STEPS).map((part): ContentionStep => {
    const [time = '', duty = '', ...rest] = part.split('=');
    if (rest.length > 0) throw new AppError('usage', `${what}: '${part}' is not TIME=DUTY, as in 5s=90%`);
    return { atMs: parseQuantity(time, 'duration', what), duty: parseFraction(duty, what) };
  });
  const rising = steps.every(({ atMs }, index) => index === 0 || atMs > (steps[index - 1]?.atMs ?? 0));
  if (steps.length < 2 || steps[0]?.atMs !== 0 || !rising) {
    throw new AppError('usage', `${what}: '${text}' is not at least two steps that begin at 0s and rise`);
  }
  return steps;
}

/** A number of workers. @throws AppError `usage` */
export function parseWorkers(text: string, what: string): number {
  const workers = Number(text);
  if (Number.isInteger(workers) && workers >= 1 && workers <= MAX_WORKERS) return workers;
  throw new AppError('usage', `${what}: '${text}' is not a number of workers from 1 to ${MAX_WORKERS}`);
}
