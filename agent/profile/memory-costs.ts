import type { PointFigures } from './profile-store.ts';

/** Memory of a model that is loaded as it was delivered, as a multiple of its file. */
const PLAIN_MEMORY_RATIO = 1.8;

/** Memory of each point, bytes: as it was measured, and where it could not be, by the size of its model. */
export function memoryCosts(
  points: readonly Pick<PointFigures, 'level' | 'memoryBytes'>[],
  levels: readonly { readonly model: { readonly bytes: number } }[],
): readonly number[] {
  return points.map(
    ({ level, memoryBytes }) => memoryBytes ?? (levels[level]?.model.bytes ?? 0) * PLAIN_MEMORY_RATIO,
  );
}
