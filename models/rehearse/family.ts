import { resolve } from 'node:path';
import { AppError } from '../../shared/errors.ts';
import { type Family, modelPath, readFamily } from '../../shared/family/read.ts';
import { readWhole } from '../../shared/files.ts';
import { checkTarget, type LevelFiles, type Target, writeFamily } from '../family/write.ts';
import { MAX_MODEL_BYTES } from '../import/wire.ts';
import { type Fault, withFault } from './model.ts';

/** @property version default: one above that of the family, and of what it replaces */
export interface RehearseOptions extends Target {
  /** Folder of the family that is rehearsed with; it stays as it is. */
  readonly source: string;
  readonly fault: Fault;
}

/**
 * Writes a family that is sound by its hashes and claims what the one that it is made of claims, but whose
 * every level has a fault: what the gates of a rollout are there to stop. It has no recipes, for its models
 * cannot be cut from the backbone.
 * @throws AppError `usage` when it would replace the family that it is made of, `invalid` naming a level that
 * is no classifier; as `readFamily` and `checkTarget`
 */
export async function rehearseFamily(options: RehearseOptions): Promise<Family> {
  const { source, fault, folder } = options;
  if (resolve(source) === resolve(folder)) {
    throw new AppError('usage', `${folder}: the family that the rehearsal is made of lies there`);
  }
  const { manifest, sha256 } = await readFamily(source);
  const version = await versionOf(options, manifest.version);
  const about = `of ${manifest.name} ${manifest.version} (family.json ${sha256})`;
  const note = `a rehearsal, version ${version}, ${about}: ${describeFault(fault)}`;
  const files: LevelFiles[] = [];
  for (const [index, { model, recipe, ...level }] of manifest.levels.entries()) {
    const path = modelPath(source, { model });
    const bytes = await readWhole(path, MAX_MODEL_BYTES);
    files.push({ level, model: withFault(bytes, fault, note, `${source}: level ${index}`) });
  }
  const { format, levels, backbone, ...head } = manifest;
  const provenance = { ...head.provenance, rehearsal: note };
  return await writeFamily(folder, { ...head, version, provenance }, files);
}

async function versionOf({ folder, replace, version }: Target, present: number): Promise<number> {
  if (version !== undefined) return await checkTarget({ folder, replace, version });
  return Math.max(present + 1, await checkTarget({ folder, replace }));
}

function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case 'slow':
      return `every level runs its network ${fault.times} times in a row`;
    case 'wrong':
      return 'every level takes each class for the one after it';
    case 'none':
      return 'it differs in nothing but this note';
  }
}
