import { AppError } from '../../shared/errors.ts';
import { parseQuantity } from '../../shared/units.ts';
import { type AbortRule, FAILURES, type Rate, type StageSize } from '../store/rollout-store.ts';
import { formatShare } from './gates.ts';

/** Stages of a rollout, at most. */
const MAX_STAGES = 20;
const MAX_DEVICES = 1_000_000;

/**
 * Reads cumulative sizes of stages: `1,10%,100%`. The last one always is everything, whether it is written or not.
 * @throws AppError `usage` when a size is none, or is not above the one before
 */
export function parseCanary(text: string): StageSize[] {
  const what = `--canary '${text}'`;
  const sizes = text.split(',').map((part) => sizeOf(part.trim(), what));
  const last = sizes.at(-1);
  if (last !== undefined && !('share' in last && last.share === 1)) sizes.push({ share: 1 });
  for (const [index, size] of sizes.entries()) {
    if (!isAbove(size, sizes[index - 1])) {
      throw new AppError('usage', `${what}: every stage includes the one before; each must be larger`);
    }
  }
  if (sizes.length > MAX_STAGES) throw new AppError('usage', `${what}: at most ${MAX_STAGES} stages`);
  return sizes;
}

function sizeOf(part: string, what: string): StageSize {
  if (/^[1-9]\d{0,5}$/.test(part)) return { count: Number(part) };
  const share = part.endsWith('%')
    ? Number(parseQuantity(part, 'fraction', what).toPrecision(12))
    : Number.NaN;
  if (share > 0 && share <= 1) return { share };
  throw new AppError('usage', `${what}: '${part}' is neither a number of devices nor a share such as 10%`);
}

/** How a number compares to a share is known once the devices are counted. */
function isAbove(size: StageSize, before: StageSize | undefined): boolean {
  if (before === undefined) return true;
  if ('share' in before) return 'share' in size ? size.share > before.share : before.share < 1;
  return 'count' in size ? size.count > before.count : true;
}

export function formatCanary(sizes: readonly StageSize[]): string {
  return sizes.map((size) => ('count' in size ? String(size.count) : formatShare(size.share))).join(',');
}

/**
 * How many devices are in the open stages together, stage by stage: at least one more in each, all in the last.
 * Of few devices there are fewer stages.
 */
export function stageEnds(sizes: readonly StageSize[], devices: number): number[] {
  const ends: number[] = [];
  for (const size of sizes) {
    const before = ends.at(-1) ?? 0;
    if (before >= devices) break;
    const wanted = 'count' in size ? size.count : Math.ceil(Number((size.share * devices).toPrecision(12)));
    ends.push(Math.min(devices, Math.max(wanted, before + 1)));
  }
  return ends.length === 0 ? [devices] : [...ends.slice(0, -1), devices];
}

const RATE_UNITS = { s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Reads how many orders may be given in any time of a length: `50/min`.
 * @throws AppError `usage`
 */
export function parseRate(text: string): Rate {
  const [, count = '', unit = ''] = /^\s*([1-9]\d{0,6})\s*\/\s*(s|min|m|h|d)\s*$/.exec(text) ?? [];
  const perMs = Object.entries(RATE_UNITS).find(([name]) => name === (unit === 'm' ? 'min' : unit))?.[1];
  if (perMs !== undefined && Number(count) <= MAX_DEVICES) return { count: Number(count), perMs };
  throw new AppError('usage', `--rate: '${text}' is not a rate; write for example 50/min, 5/s or 200/h`);
}

export function formatRate({ count, perMs }: Rate): string {
  const unit = Object.entries(RATE_UNITS).find(([, ms]) => ms === perMs)?.[0];
  return `${count}/${unit ?? `${perMs}ms`}`;
}

const ABORT = /^\s*([a-z-]+)\s*(>=|>)\s*(\S+)(?:\s+min\s+(\d{1,7}))?\s*$/;

/**
 * Reads when too many devices have failed: `failed>=20% min 3`, of those that have finished.
 * @throws AppError `usage`
 */
export function parseAbortRule(text: string): AbortRule {
  const what = `--abort '${text}'`;
  const [, name = '', sign = '', value = '', min = '1'] = ABORT.exec(text) ?? [];
  const of = FAILURES.find((each) => each === name);
  if (of === undefined) {
    throw new AppError(
      'usage',
      `${what}: write for example 'failed>=20% min 3' or 'rejected>5'; it counts ${FAILURES.join(', ')}`,
    );
  }
  const op = sign === '>' ? '>' : '>=';
  // More than none.
  const size = value === '0' && op === '>' ? { count: 0 } : sizeOf(value, what);
  const isShare = 'share' in size;
  return { of, op, value: isShare ? size.share : size.count, isShare, min: Math.max(1, Number(min)) };
}

export function formatAbortRule({ of, op, value, isShare, min }: AbortRule): string {
  return `${of}${op}${isShare ? formatShare(value) : value} min ${min}`;
}
