import { AppError } from '../errors.ts';
import { parseQuantity } from '../units.ts';
import { wallTime } from './zone.ts';

/** A duration above zero. */
export function parseDurationMs(text: string, what: string): number {
  const ms = parseQuantity(text, 'duration', what);
  if (ms > 0) return ms;
  throw new AppError('usage', `${what}: '${text}' is not above zero`);
}

/** A share between none and all. */
export function parseFraction(text: string, what: string): number {
  const fraction = parseQuantity(text, 'fraction', what);
  if (fraction >= 0 && fraction <= 1) return fraction;
  throw new AppError('usage', `${what}: '${text}' is not between 0 and 1; write for example 0.92 or 92%`);
}

/** A whole number above zero. */
export function parseCount(text: string, what: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new AppError('usage', `${what}: '${text}' is not a whole number above zero`);
}

/** A whole number, zero or above: a seed, or a number of things that may be none. */
export function parseWhole(text: string, what: string): number {
  if (/^(0|[1-9]\d{0,8})$/.test(text)) return Number(text);
  throw new AppError('usage', `${what}: '${text}' is not a whole number, zero or above`);
}

/** Whole numbers above zero, written `20,28`: each once, in their order. */
export function parseCounts(text: string, what: string): number[] {
  return [...new Set(text.split(',').map((part) => parseCount(part.trim(), what)))];
}

/** A whole number. */
export function parseInteger(text: string, what: string): number {
  if (/^-?\d{1,9}$/.test(text)) return Number(text);
  throw new AppError('usage', `${what}: '${text}' is not a whole number`);
}

/** One of a few words. */
export function parseChoice<W extends string>(text: string, words: readonly W[], what: string): W {
  const word = words.find((each) => each === text);
  if (word !== undefined) return word;
  throw new AppError('usage', `${what}: '${text}' is not one of ${words.join(', ')}`);
}

const DATE = /^\d{4}-\d{2}-\d{2}(T|$)/;
const WITH_ZONE = /T.*(Z|[+-]\d{2}:?\d{2})$/i;

/**
 * A time: ISO 8601, or how long ago.
 * @param zone in which a date is read that does not say its own; an IANA name
 * @returns milliseconds since the epoch
 */
export function parseTime(text: string, now: number, what: string, zone = 'UTC'): number {
  if (DATE.test(text)) {
    const ts = parseDate(text, zone);
    if (Number.isFinite(ts) && ts >= 0) return ts;
    throw new AppError('usage', `${what}: '${text}' is not a date; write for example 2026-05-01T12:00:00Z`);
  }
  const ago = parseQuantity(text, 'duration', what);
  if (ago < 0 || ago > now) throw new AppError('usage', `${what}: '${text}' is not in the past`);
  return Math.round(now - ago);
}

function parseDate(text: string, zone: string): number {
  if (WITH_ZONE.test(text)) return Date.parse(text);
  const wallMs = Date.parse(text.includes('T') ? `${text}Z` : text);
  return Number.isFinite(wallMs) ? wallTime(wallMs, zone) : wallMs;
}
