import { AppError, describeError } from '../../shared/errors.ts';
import type { ChosenPoint } from './contender.ts';
import type { MeasuredEngine } from './measure.ts';
import type { Obtained } from './obtain.ts';

export interface WarmOptions<E> {
  /** Starts an engine of these points, nothing of it loaded. */
  readonly startEngine: (points: readonly ChosenPoint[]) => Promise<E>;
  /** Which points are to be loaded now, by index, in this order. */
  readonly warm: (obtained: Obtained) => readonly number[];
}

/**
 * Starts the engine that serves. A point that cannot be loaded is left out, and the engine started again
 * without it, so that the points of engine and profile are the same.
 * @throws AppError `invalid` when none can be loaded; what is not of a single point as it is
 */
export async function startWarmEngine<E extends MeasuredEngine & AsyncDisposable>(
  obtained: Obtained,
  options: WarmOptions<E>,
): Promise<Obtained & { readonly engine: E }> {
  const engine = await options.startEngine(obtained.points);
  try {
    const broken = await loadAll(engine, options.warm(obtained));
    if (broken.size === 0) return { ...obtained, engine };
    const rest = without(broken, obtained);
    await engine[Symbol.asyncDispose]();
    if (rest.points.length > 0) return await startWarmEngine(rest, options);
    throw new AppError('invalid', `no level can be loaded; the first: ${[...broken.values()][0]}`);
  } catch (error) {
    // What hangs cannot be closed either; the first error says more.
    await Promise.resolve(engine[Symbol.asyncDispose]()).catch(() => undefined);
    throw error;
  }
}

/** @returns why points could not be loaded */
async function loadAll(engine: MeasuredEngine, points: readonly number[]): Promise<Map<number, string>> {
  const broken = new Map<number, string>();
  for (const point of points) {
    try {
      await engine.load(point);
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'invalid')) throw error;
      broken.set(point, describeError(error));
    }
  }
  return broken;
}

function without(broken: ReadonlyMap<number, string>, { info, points, leftOut }: Obtained): Obtained {
  const isWhole = (_: unknown, index: number): boolean => !broken.has(index);
  const added = points.flatMap(({ pe, level }, index) => {
    const reason = broken.get(index);
    return reason === undefined ? [] : [{ pe, level, reason }];
  });
  return {
    info: { ...info, points: info.points.filter(isWhole) },
    points: points.filter(isWhole),
    leftOut: [...leftOut, ...added],
  };
}
