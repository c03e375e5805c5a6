import type { Level, Manifest, Precision } from '../../shared/family/manifest.ts';
import type { ReleaseDetail } from '../api/release-schemas.ts';

/** A family's release, with its family.json. */
export interface PublishedFamily {
  readonly release: Pick<ReleaseDetail, 'ref' | 'manifest'>;
  readonly family: Manifest;
}

/** What became of a level from one version to another. */
export interface LevelChange {
  readonly change: 'same' | 'changed' | 'added' | 'removed';
  /** Place in each version; the cheapest is 0. */
  readonly from?: number;
  readonly to?: number;
  readonly precision: Precision;
  /** Top-1, 0..1. */
  readonly accuracyFrom?: number;
  readonly accuracyTo?: number;
  /** Of its model, in the newer of the versions that have it. */
  readonly bytes: number;
}

export interface FamilyDifference {
  readonly levels: readonly LevelChange[];
  /** What a device fetches that has all of the version before, its manifest included. */
  readonly fetch: { readonly blobs: number; readonly bytes: number };
}

/**
 * What differs between two versions of a family. A level is the same one when its model is, or else when its
 * architecture and precision are: then it is changed.
 */
export function familyDifference(before: PublishedFamily, after: PublishedFamily): FamilyDifference {
  return { levels: levelChanges(before.family.levels, after.family.levels), fetch: fetchOf(before, after) };
}

function levelChanges(before: readonly Level[], after: readonly Level[]): LevelChange[] {
  const left = new Map(before.entries());
  const partners = new Map<number, number>();
  for (const isPartner of [hasSameModel, hasSameArchitecture]) {
    for (const [to, level] of after.entries()) {
      if (partners.has(to)) continue;
      const [from] = [...left].find(([, old]) => isPartner(old, level)) ?? [];
      if (from === undefined) continue;
      partners.set(to, from);
      left.delete(from);
    }
  }
  const kept = after.map((level, to): LevelChange => {
    const from = partners.get(to);
    return changeOf(from === undefined ? undefined : before[from], level, { from, to });
  });
  return [...kept, ...[...left].map(([from, level]) => removalOf(level, from))];
}

function hasSameModel(a: Level, b: Level): boolean {
  return a.model.sha256 === b.model.sha256;
}

function hasSameArchitecture(a: Level, b: Level): boolean {
  if (a.architecture === undefined || precisionOf(a) !== precisionOf(b)) return false;
  return JSON.stringify(a.architecture) === JSON.stringify(b.architecture);
}

function precisionOf({ precision = 'fp32' }: Level): Precision {
  return precision;
}

function changeOf(
  old: Level | undefined,
  level: Level,
  { from, to }: { readonly from: number | undefined; readonly to: number },
): LevelChange {
  const common = { to, precision: precisionOf(level), accuracyTo: level.accuracy, bytes: level.model.bytes };
  if (old === undefined || from === undefined) return { change: 'added', ...common };
  const isSame = hasSameModel(old, level) && old.accuracy === level.accuracy;
  return { change: isSame ? 'same' : 'changed', from, accuracyFrom: old.accuracy, ...common };
}

function removalOf(level: Level, from: number): LevelChange {
  return {
    change: 'removed',
    from,
    precision: precisionOf(level),
    accuracyFrom: level.accuracy,
    bytes: level.model.bytes,
  };
}

function fetchOf(before: PublishedFamily, after: PublishedFamily): FamilyDifference['fetch'] {
  const { manifest } = after.release.ref;
  const has = new Set([
    before.release.ref.manifest.sha256,
    ...before.release.manifest.blobs.map(({ sha256 }) => sha256),
    // Of a family of recipes the device has the models too: it has cut them.
    ...before.family.levels.map(({ model }) => model.sha256),
  ]);
  const wanted = [manifest, ...after.release.manifest.blobs].filter(({ sha256 }) => !has.has(sha256));
  return { blobs: wanted.length, bytes: wanted.reduce((sum, { bytes }) => sum + bytes, 0) };
}
