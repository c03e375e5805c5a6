import { AppError } from '../../shared/errors.ts';
import { type ChosenPoint, type Contender, leanFileOf } from './contender.ts';
import { type ProfileFacts, profileKey } from './key.ts';
import {
  type LeftOut,
  type MeasuredEngine,
  type MeasureOptions,
  measureFamily,
  trialPoints,
} from './measure.ts';
import type { PointFigures, ProfileStore } from './profile-store.ts';
import type { ProfileInfo } from './profiler.ts';

export interface ObtainOptions extends MeasureOptions {
  readonly store: ProfileStore;
  readonly facts: ProfileFacts;
  /** Told when a new profile is used but not kept: the disk is full. */
  readonly onNotKept: (error: unknown) => void;
  /** Starts an engine of these points, nothing of it loaded; it is closed again. */
  readonly startEngine: (points: readonly ChosenPoint[]) => Promise<MeasuredEngine & AsyncDisposable>;
}

/** The profile to begin with, and the points that it has. */
export interface Obtained {
  readonly info: ProfileInfo;
  /** Of `info`, in its order, ready for an engine. */
  readonly points: readonly ChosenPoint[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * The profile of contenders: the one that is kept for these facts, where it has all of them, else a new one,
 * which is kept. Measuring takes some seconds.
 * @throws AppError `invalid` when no contender can be used; the signal's reason when it aborts
 */
export async function obtainProfile(
  contenders: readonly Contender[],
  options: ObtainOptions,
): Promise<Obtained> {
  const { store, facts, clock } = options;
  const key = profileKey(facts);
  const stored = store.find(facts);
  const kept = contenders.flatMap(
    (contender) => stored?.points.find((point) => isOf(point, contender)) ?? [],
  );
  if (stored !== undefined && kept.length === contenders.length) {
    const info = { key, facts, source: 'stored', measuredTs: stored.measuredTs, points: kept } as const;
    return { info, points: pointsOf(kept, contenders), leftOut: [] };
  }
  await using engine = await options.startEngine(trialPoints(contenders));
  const { points, leftOut } = await measureFamily(contenders, engine, options);
  if (points.length === 0) {
    throw new AppError(
      'invalid',
      `no level can be used; the first: ${leftOut[0]?.reason ?? 'there is none'}`,
    );
  }
  const measured = { measuredTs: clock.now(), points };
  try {
    store.save(facts, measured);
  } catch (error) {
    options.onNotKept(error);
  }
  const info = { key, facts, source: 'measured', ...measured } as const;
  return { info, points: pointsOf(points, contenders), leftOut };
}

function isOf(point: PointFigures, contender: Contender): boolean {
  const { leanFile } = leanFileOf(contender);
  return point.pe === contender.pe && point.level === contender.level && point.leanFile === leanFile;
}

function pointsOf(figures: readonly PointFigures[], contenders: readonly Contender[]): ChosenPoint[] {
  return figures.flatMap((point) => {
    const contender = contenders.find((each) => isOf(point, each));
    return contender === undefined ? [] : [{ ...contender, threads: point.threads }];
  });
}
