import { join } from 'node:path';
import { type RehearseOptions, rehearseFamily } from '../../models/rehearse/family.ts';
import type { Family } from '../../shared/family/read.ts';
import { packageRoot } from '../../shared/package.ts';

/** Writes the next version of the bundled family, sound by its hashes and bad in what it does. */
export async function spoiltFamily(
  folder: string,
  fault: RehearseOptions['fault'],
  more: Partial<Pick<RehearseOptions, 'source' | 'version' | 'replace'>> = {},
): Promise<Family> {
  const source = join(packageRoot(), 'models', 'families', 'fashion-mnist');
  return await rehearseFamily({ source, folder, fault, replace: false, ...more });
}
